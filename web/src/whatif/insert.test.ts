import { describe, expect, test } from 'vitest';
import { insert } from './insert';

const policy = `# The shop's.
kind: NetworkPolicy
spec:
  podSelector: {}
  ingress:
    # Ours alone.
    - from:
        - podSelector: {} # all
      ports:
      - port: 80

    - from: []
  egress: [] # nothing
`;

describe('items are added to a list', () => {
  test('that has some: behind the last, as deep as it', () => {
    expect(insert(policy, 'spec.ingress[0].from', '- namespaceSelector:\n    a: b\n')).toBe(
      policy.replace(
        '- podSelector: {} # all\n',
        '- podSelector: {} # all\n        - namespaceSelector:\n            a: b\n',
      ),
    );
    expect(insert(policy, 'spec.ingress[0].ports', '- port: 90')).toBe(
      policy.replace('      - port: 80\n', '      - port: 80\n      - port: 90\n'),
    );
  });

  test('of rules', () => {
    expect(insert(policy, 'spec.ingress', '- {}')).toBe(
      policy.replace('    - from: []\n', '    - from: []\n    - {}\n'),
    );
  });

  test('that is empty', () => {
    expect(insert(policy, 'spec.ingress[1].from', '- x: 1')).toBe(
      policy.replace('    - from: []\n', '    - from:\n        - x: 1\n'),
    );
    expect(insert(policy, 'spec.egress', '- {}')).toBe(
      policy.replace('egress: [] # nothing', 'egress: # nothing\n    - {}'),
    );
    expect(insert('spec:\n  egress:\n', 'spec.egress', '- {}')).toBe('spec:\n  egress:\n    - {}\n');
  });

  test('that is absent: at the end of what it belongs to', () => {
    expect(insert('spec:\n  podSelector: {}\n', 'spec.egress', '- to: []')).toBe(
      'spec:\n  podSelector: {}\n  egress:\n    - to: []\n',
    );
    expect(insert(policy, 'spec.ingress[1].ports', '- port: 1')).toBe(
      policy.replace('    - from: []\n', '    - from: []\n      ports:\n        - port: 1\n'),
    );
  });

  test('in a text without a last newline', () => {
    expect(insert('spec:\n  egress:\n  - a: 1', 'spec.egress', '- b: 2')).toBe(
      'spec:\n  egress:\n  - a: 1\n  - b: 2\n',
    );
  });
});

test('a place that is not there, or no list, is left alone', () => {
  expect(insert(policy, 'spec.ingress[7].from', '- {}')).toBeUndefined();
  expect(insert(policy, 'spec.podSelector', '- {}')).toBeUndefined();
  expect(insert('spec:\n  egress: [{}]\n', 'spec.egress', '- {}')).toBeUndefined();
  expect(insert('', 'spec.egress', '- {}')).toBeUndefined();
});

import { expect, test } from 'vitest';
import { allLines, lineOf, policyId, ruleLines } from './lines';

const yaml = `spec:
  ingress:
    - from:
        - podSelector: {}

      # Only this.
      ports:
        - port: 80
    - {}
  egress: []
`;

test('a rule goes on while lines are deeper than its beginning', () => {
  expect(ruleLines(yaml, 10, 12, 1)).toEqual({
    first: 11,
    lines: [
      '  ingress:',
      '    - from:',
      '        - podSelector: {}',
      '',
      '      # Only this.',
      '      ports:',
      '        - port: 80',
      '    - {}',
    ],
    marked: [12, 17],
  });
  expect(ruleLines(yaml, 10, 18, 0)).toEqual({ first: 18, lines: ['    - {}'], marked: [18, 18] });
});

test('a line that is not there has no rule', () => {
  expect(ruleLines(yaml, 10, 9)).toBeUndefined();
  expect(ruleLines(yaml, 10, 40)).toBeUndefined();
  expect(ruleLines(yaml, 0, 0)).toBeUndefined();
});

test('all lines have their numbers in the file', () => {
  expect(allLines('a\nb\n', 7)).toEqual({ first: 7, lines: ['a', 'b'], marked: [0, -1] });
});

test('places and names', () => {
  expect(lineOf('shop/policies/10.yaml:42')).toBe(42);
  expect(lineOf('shop/policies/10.yaml:42:7')).toBe(42);
  expect(lineOf('shop/policies/10.yaml')).toBe(0);
  expect(policyId('NetworkPolicy', 'shop/web')).toBe('NetworkPolicy/shop/web');
  expect(policyId('ClusterNetworkPolicy', 'guard')).toBe('ClusterNetworkPolicy//guard');
  expect(policyId('ClusterNetworkPolicy', 'ClusterNetworkPolicy guard')).toBe('ClusterNetworkPolicy//guard');
});

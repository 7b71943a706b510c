import { expect, test } from 'vitest';
import { ofStory } from './shown';

test('a story’s policies and rules have the names that links need', () => {
  const rule = {
    index: 2,
    effect: 'deny' as const,
    says: 'from everywhere',
    peer: true,
    port: true,
    matches: true,
    decides: true,
  };
  const side = ofStory(
    {
      verdict: 'denied',
      by: 'ClusterNetworkPolicy guard ingress[2]',
      policies: [
        { policy: 'ClusterNetworkPolicy guard', tier: 'Admin', rules: [rule] },
        { policy: 'shop/web', tier: 'NetworkPolicy', rules: [] },
      ],
    },
    'ingress',
  );
  expect(side.policies.map((it) => [it.kind, it.policy])).toEqual([
    ['ClusterNetworkPolicy', 'guard'],
    ['NetworkPolicy', 'shop/web'],
  ]);
  expect(side.policies[0]?.rules[0]).toMatchObject({ rule: 'ingress[2]', says: 'from everywhere' });
});

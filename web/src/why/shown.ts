// One end of a connection as the drawer shows it, whether `can` or a story told it.
import type { Side, ToldSide, Verdict } from '../api/types';

export interface ShownSide {
  verdict: Verdict;
  reason: string;
  policies: {
    kind: string;
    policy: string;
    tier: string;
    priority?: number | undefined;
    at: string;
    asked: boolean;
    rules: {
      rule: string;
      at: string;
      effect: string;
      says: string;
      peer: boolean;
      port: boolean;
      decides: boolean;
    }[];
  }[];
}

export function ofCan(side: Side): ShownSide {
  return { verdict: side.verdict, reason: side.reason, policies: side.policies ?? [] };
}

/** A story names a policy's kind before its name where it isn't NetworkPolicy. */
export function ofStory(side: ToldSide, list: 'ingress' | 'egress'): ShownSide {
  return {
    verdict: side.verdict,
    reason: side.by,
    policies: side.policies.map((policy) => {
      const space = policy.policy.indexOf(' ');
      return {
        kind: space < 0 ? 'NetworkPolicy' : policy.policy.slice(0, space),
        policy: policy.policy.slice(space + 1),
        tier: policy.tier,
        at: '',
        asked: true,
        rules: policy.rules.map((rule) => ({
          rule: `${list}[${rule.index}]`,
          at: rule.at ?? '',
          effect: rule.effect,
          says: rule.says,
          peer: rule.peer,
          port: rule.port,
          decides: rule.decides,
        })),
      };
    }),
  };
}

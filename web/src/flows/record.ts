// What a record says, in words.
import type { Decision, Endpoint, FlowRecord, PolicyRef } from '../api/types';
import { onPort } from '../ui/format';

const REASONS: Readonly<Record<string, string>> = {
  'not-isolated': 'no policy has a say',
  'icmp-echo': 'ICMP echo is let through',
  'own-node': 'the pod’s own node',
  'unknown-pod': 'no known pod has this address',
  unreadable: 'unreadable packet',
  'table-full': 'no room in the kernel’s tables',
  incomplete: 'incomplete table in the kernel',
  'not-a-pod': 'not a pod',
  itself: 'the pod itself',
  forgotten: 'a policy that is gone',
};

/** `shop/web`, `ClusterNetworkPolicy guard`. */
export function policyName(policy: PolicyRef): string {
  return policy.namespace === '' ? `${policy.kind} ${policy.name}` : `${policy.namespace}/${policy.name}`;
}

/** The API's id of a policy. */
export function policyIdOf(policy: PolicyRef): string {
  return `${policy.kind}/${policy.namespace}/${policy.name}`;
}

/** The API's id of the workload at an end: its owner, or the pod itself; `undefined`: it's no pod. */
export function placeIdOf(end: Endpoint): string | undefined {
  if (end.kind !== 'pod') return undefined;
  const { kind, name } = end.owner ?? { kind: 'Pod', name: end.pod };
  return `${end.namespace}/${name}[${kind}]`;
}

/** What decided, in words. */
export function because(decision: Decision): string {
  if (decision.reason === 'rule' && decision.policy) {
    return `${policyName(decision.policy)} ${decision.list}[${decision.rule}]`;
  }
  if (decision.reason === 'isolated') {
    const policies = (decision.policies ?? []).map(policyName).join(', ');
    return policies === '' ? 'isolated' : `isolated by ${policies}`;
  }
  return REASONS[decision.reason] ?? decision.reason;
}

/** What decided the whole connection: the side that denied, or what allowed it at both ends. */
export function decided(record: FlowRecord): string {
  const sides = [record.egress, record.ingress].filter((side) => side !== undefined);
  const denied = sides.filter((side) => side.verdict === 'denied');
  if (denied.length > 0) return [...new Set(denied.map(because))].join('; ');
  const rules = sides.filter((side) => side.reason !== 'not-isolated');
  if (rules.length === 0) return sides.length === 0 ? '' : (REASONS['not-isolated'] ?? '');
  return [...new Set(rules.map(because))].join('; ');
}

/** The nearest miss of a denied connection, in words; empty: none. */
export function nearly(decision: Decision | undefined): string {
  const nearest = decision?.nearest;
  if (!nearest) return '';
  return `${policyName(nearest.policy)} ${nearest.list}[${nearest.rule}] almost allowed it, but ${nearest.but}`;
}

/** `TCP 5432`. */
export function portOf(record: FlowRecord): string {
  return onPort(record.protocol, record.destination.port);
}

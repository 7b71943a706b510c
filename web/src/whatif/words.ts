// What a change does, in words.
import type { DiffCause, Ends, WhatIf } from '../api/types';
import { counted } from '../ui/format';

/** A set of ends: `all pods of shop, web/frontend; 10.0.0.0/8`. */
export function ends(of: Ends): string {
  const parts: string[] = [];
  if (of.allPods) parts.push('all pods');
  if (of.namespaces && of.namespaces.length > 0) parts.push(`all pods of ${of.namespaces.join(', ')}`);
  if (of.workloads && of.workloads.length > 0) parts.push(listed(of.workloads.map(name)));
  if (of.addresses && of.addresses.length > 0) parts.push(listed(of.addresses));
  if (of.domains && of.domains.length > 0) parts.push(listed(of.domains));
  const all = parts.join(', ');
  return of.except && of.except.length > 0 ? `${all} but ${listed(of.except.map(name))}` : all;
}

const MOST = 6;

function listed(all: readonly string[]): string {
  if (all.length <= MOST) return all.join(', ');
  return `${all.slice(0, MOST).join(', ')} and ${all.length - MOST} more`;
}

/** `shop/web[Deployment]` without the kind, which nobody misses in a sentence. */
function name(workload: string): string {
  return workload.replace(/\[\w+\]/, '');
}

const EFFECTS: Readonly<Record<string, string>> = {
  ruleAllows: 'allows it now',
  ruleDenied: 'denied it',
  noLongerIsolated: 'no longer isolate',
  ruleDenies: 'denies it now',
  ruleAllowed: 'allowed it',
  isolated: 'isolate now',
};

/** Why something opens or closes. */
export function cause(of: DiffCause): string {
  const rule = of.rule === undefined ? '' : ` ${of.direction}[${of.rule}]`;
  const side = of.rule === undefined ? ` (${of.direction})` : '';
  const state = of.state === 'gone' ? ', which is gone' : '';
  const effect = EFFECTS[of.effect] ?? of.effect;
  const policies = of.policies.join(', ');
  if (of.rule === undefined) {
    return `${policies} ${of.policies.length === 1 ? effect.replace('isolate', 'isolates') : effect}${side}`;
  }
  return `${policies}${rule} ${effect}${state}`;
}

/** The headline: what would happen. */
export function headline(of: WhatIf): { text: string; tone: 'allowed' | 'denied' | 'partly' | 'unknown' }[] {
  const opened = of.diff.connections.filter((it) => it.kind === 'opened').length;
  const closed = of.diff.connections.filter((it) => it.kind === 'closed').length;
  const changed = of.diff.connections.length - opened - closed;
  const lines: { text: string; tone: 'allowed' | 'denied' | 'partly' | 'unknown' }[] = [];
  if (opened > 0) lines.push({ text: `opens ${counted(opened, 'connection')}`, tone: 'allowed' });
  if (closed > 0) lines.push({ text: `closes ${counted(closed, 'connection')}`, tone: 'denied' });
  if (changed > 0) lines.push({ text: `changes ports of ${counted(changed, 'connection')}`, tone: 'partly' });
  if (lines.length === 0) lines.push({ text: 'opens and closes nothing', tone: 'unknown' });
  if (of.replay) {
    const cut = of.replay.cut.reduce((sum, it) => sum + it.connections, 0);
    if (cut > 0) lines.push({ text: `cuts ${counted(cut, 'connection')} that were seen`, tone: 'denied' });
    else lines.push({ text: 'cuts nothing that was seen', tone: 'unknown' });
  }
  if (of.diff.exposed.length > 0) {
    lines.push({
      text: `opens ${counted(of.diff.exposed.length, 'workload')} to the internet`,
      tone: 'partly',
    });
  }
  return lines;
}

// A large cluster as YAML: shaped as clusters are, with a few hubs that everybody calls, and the same in every run.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Large {
  dir: string;
  workloads: number;
  policies: number;
  remove: () => void;
}

/** Workloads in each namespace. */
const EACH = 12;

function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const name = (index: number) => `app-${String(index % EACH).padStart(2, '0')}`;
const namespace = (index: number) => `team-${String(Math.floor(index / EACH)).padStart(3, '0')}`;

function deployment(index: number): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name(index)}
  namespace: ${namespace(index)}
spec:
  replicas: ${1 + (index % 3)}
  selector:
    matchLabels: {app: ${name(index)}}
  template:
    metadata:
      labels: {app: ${name(index)}}
    spec:
      containers:
        - name: main
          image: example.org/app:1
          ports: [{name: http, containerPort: ${8000 + (index % 7)}}]
`;
}

function peer(index: number): string {
  return `namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ${namespace(index)}}}
          podSelector: {matchLabels: {app: ${name(index)}}}`;
}

/** What lets the callers of a workload in: its isolation is in it. */
function ingress(index: number, callers: readonly number[]): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: to-${name(index)}
  namespace: ${namespace(index)}
spec:
  podSelector: {matchLabels: {app: ${name(index)}}}
  policyTypes: [Ingress]
  ingress:
    - ports: [{port: ${8000 + (index % 7)}}]
      from:
${callers.map((caller) => `        - ${peer(caller)}`).join('\n')}
`;
}

function egress(index: number, callees: readonly number[]): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: from-${name(index)}
  namespace: ${namespace(index)}
spec:
  podSelector: {matchLabels: {app: ${name(index)}}}
  policyTypes: [Egress]
  egress:
    - ports: [{protocol: UDP, port: 53}]
      to:
        - ${peer(0)}
${callees
  .map(
    (callee) => `    - ports: [{port: ${8000 + (callee % 7)}}]
      to:
        - ${peer(callee)}`,
  )
  .join('\n')}
`;
}

/** Writes a cluster of so many workloads and about five times as many edges; `remove` takes it away. */
export function writeLarge(workloads: number): Large {
  const dir = mkdtempSync(join(tmpdir(), 'podgate-large-'));
  const roll = dice(42);
  const callees: number[][] = Array.from({ length: workloads }, () => []);
  const callers: number[][] = Array.from({ length: workloads }, () => []);
  const call = (from: number, to: number) => {
    if (from === to || callees[from]!.includes(to)) return;
    callees[from]!.push(to);
    callers[to]!.push(from);
  };
  for (let from = 1; from < workloads; from += 1) {
    const home = from - (from % EACH);
    for (let count = 0; count < 3; count += 1) call(from, Math.min(workloads - 1, home + roll(EACH)));
    call(from, 1 + roll(workloads - 1));
    call(from, 1 + roll(workloads - 1));
    // Monitoring scrapes most, and a gateway is in front of some.
    if (roll(10) < 7) call(1, from);
    if (roll(10) < 2) call(2, from);
  }
  let policies = 0;
  for (let first = 0; first < workloads; first += EACH) {
    const documents = [`apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ${namespace(first)}\n`];
    for (let index = first; index < Math.min(workloads, first + EACH); index += 1) {
      documents.push(deployment(index));
      // A tenth of all is not protected.
      if (index % 10 === 9 || index === 0) continue;
      if (callers[index]!.length > 0) {
        documents.push(ingress(index, callers[index]!));
        policies += 1;
      }
      documents.push(egress(index, callees[index]!));
      policies += 1;
    }
    mkdirSync(join(dir, namespace(first)));
    writeFileSync(join(dir, namespace(first), 'all.yaml'), documents.join('---\n'));
  }
  return { dir, workloads, policies, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

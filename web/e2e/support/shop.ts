// The shop of examples/ with three mistakes in it, and flows of the last hour that fit.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './server';

export interface Files {
  /** Where they are: the manifests in `shop`, flow records in `flows.jsonl`, one a line. */
  dir: string;
  remove: () => void;
}

const TOOLS = `apiVersion: v1
kind: Namespace
metadata:
  name: tools
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: debug
  namespace: tools
spec:
  selector:
    matchLabels:
      app: debug
  template:
    metadata:
      labels:
        app: debug
    spec:
      containers:
        - name: shell
          image: example.org/tools/shell:1
`;

const STAGED = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: dns-from-known
  namespace: kube-system
  annotations:
    podgate.dev/mode: staged
spec:
  podSelector:
    matchLabels:
      k8s-app: kube-dns
  ingress:
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: shop
`;

/** Writes the files; `remove` takes them away. */
export function writeShop(now = new Date()): Files {
  const dir = mkdtempSync(join(tmpdir(), 'podgate-shop-'));
  const manifests = join(dir, 'shop');
  cpSync(join(ROOT, 'examples/shop/app'), join(manifests, 'app'), { recursive: true });
  cpSync(join(ROOT, 'examples/shop/policies'), join(manifests, 'policies'), { recursive: true });
  writeFileSync(join(manifests, 'app/60-tools.yaml'), TOOLS);
  const policy = (name: string) => join(manifests, 'policies', name);
  // Only the backend was remembered when DNS was allowed: payments can't resolve its provider's name.
  edit(policy('20-allow-dns.yaml'), (documents) =>
    documents.map((text) =>
      text.includes('namespace: shop')
        ? text.replace('podSelector: {}', 'podSelector:\n    matchLabels:\n      app: backend')
        : text,
    ),
  );
  // Nothing but its own policy guards the database.
  edit(policy('10-default-deny.yaml'), (documents) =>
    documents.filter((text) => !text.includes('namespace: data')),
  );
  mkdirSync(join(manifests, 'staged'));
  writeFileSync(join(manifests, 'staged/dns.yaml'), STAGED);
  const flows = join(dir, 'flows.jsonl');
  writeFileSync(
    flows,
    records(now)
      .map((record) => `${JSON.stringify({ flow: record })}\n`)
      .join(''),
  );
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

function edit(path: string, change: (documents: string[]) => string[]): void {
  const documents = readFileSync(path, 'utf8').split(/^---\n/m);
  writeFileSync(path, change(documents).join('---\n'));
}

interface Pod {
  namespace: string;
  app: string;
  kind: string;
  ip: string;
  label: [string, string];
}

const PODS: Record<string, Pod> = Object.fromEntries(
  [
    ['web', 'frontend', 'Deployment'],
    ['shop', 'backend', 'Deployment'],
    ['shop', 'payments', 'Deployment'],
    ['data', 'database', 'StatefulSet'],
    ['kube-system', 'dns', 'Deployment'],
    ['tools', 'debug', 'Deployment'],
  ].map(([namespace = '', app = '', kind = ''], index) => [
    app,
    {
      namespace,
      app,
      kind,
      ip: `10.244.${1 + (index % 2)}.${10 + index}`,
      label: app === 'dns' ? ['k8s-app', 'kube-dns'] : ['app', app],
    },
  ]),
);

function endpoint(app: string, port: number) {
  const pod = PODS[app]!;
  return {
    ip: pod.ip,
    port,
    kind: 'pod',
    namespace: pod.namespace,
    pod: `${app}-0`,
    owner: { kind: pod.kind, name: app },
    node: `node-${1 + (Number(pod.ip.split('.')[2]) % 2)}`,
    labels: { [pod.label[0]]: pod.label[1] },
  };
}

function policyRef(namespace: string, name: string) {
  return { kind: 'NetworkPolicy', namespace, name };
}

/** Connections of the last 50 minutes, the same in every run but for when it is. */
function records(now: Date): object[] {
  const isolated = (namespace: string, names: string[]) => ({
    verdict: 'denied',
    reason: 'isolated',
    policies: names.map((name) => policyRef(namespace, name)),
  });
  const ruled = (namespace: string, name: string, list: 'ingress' | 'egress') => ({
    verdict: 'allowed',
    reason: 'rule',
    policy: policyRef(namespace, name),
    list,
    rule: 0,
  });
  const kinds = [
    {
      every: 20,
      from: 'frontend',
      to: 'backend',
      protocol: 'TCP',
      port: 9000,
      egress: ruled('web', 'frontend-to-backend', 'egress'),
      ingress: ruled('shop', 'backend-from-frontend', 'ingress'),
    },
    {
      every: 30,
      from: 'backend',
      to: 'database',
      protocol: 'TCP',
      port: 5432,
      egress: ruled('shop', 'backend-to-database', 'egress'),
      ingress: ruled('data', 'database-from-backend', 'ingress'),
    },
    {
      every: 45,
      from: 'payments',
      to: 'dns',
      protocol: 'UDP',
      port: 53,
      egress: isolated('shop', ['default-deny', 'payments-to-provider']),
    },
    {
      every: 60,
      from: 'backend',
      to: 'dns',
      protocol: 'UDP',
      port: 53,
      egress: ruled('shop', 'allow-dns', 'egress'),
    },
    {
      every: 90,
      from: 'frontend',
      to: 'dns',
      protocol: 'UDP',
      port: 53,
      egress: ruled('web', 'allow-dns', 'egress'),
      staged: { verdict: 'denied', ingress: isolated('kube-system', ['dns-from-known']) },
    },
    {
      every: 240,
      from: 'debug',
      to: 'database',
      protocol: 'TCP',
      port: 5432,
      ingress: isolated('data', ['database-from-backend']),
    },
  ];
  const records: { time: string }[] = [];
  let count = 0;
  for (const { every, from, to, protocol, port, ...decisions } of kinds) {
    for (let seconds = every; seconds <= 3000; seconds += every) {
      count += 1;
      const id = count.toString(16).padStart(8, '0');
      const denied = [decisions.egress, 'ingress' in decisions ? decisions.ingress : undefined].some(
        (decision) => decision?.verdict === 'denied',
      );
      const record = {
        id: `${id}-0000-0000-0000-${id.padStart(12, '0')}`,
        time: new Date(now.getTime() - seconds * 1000).toISOString().replace('Z', '000Z'),
        node: 'node-1',
        verdict: denied ? 'denied' : 'allowed',
        protocol,
        ...(protocol === 'TCP' ? { tcpFlags: 'SYN' } : {}),
        source: endpoint(from, 40_000 + count),
        destination: endpoint(to, port),
        ...decisions,
      };
      records.push(record);
    }
  }
  return records.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

// The shapes of the API's answers.

export type Verdict = 'allowed' | 'denied';
export type FlowVerdict = Verdict | 'unknown';
export type Losses = Record<string, number>;

export interface Status {
  version: string;
  name: string;
  origin: 'files' | 'lab' | 'cluster';
  revision: number;
  now: string;
  counts: {
    namespaces: number;
    workloads: number;
    pods: number;
    services: number;
    policies: number;
    staged: number;
  };
  problems: Problem[];
  flows?: FlowsStatus;
  measured?: { at: string; tried: number; disagree: number };
  nodes: { name: string; inForce: boolean; trouble: string }[];
  stale?: string;
}

export interface FlowsStatus {
  kept: number;
  oldest?: string;
  newest?: string;
  losses: Losses;
}

export interface Problem {
  severity: string;
  file: string;
  line: number;
  column: number;
  message: string;
}

export interface Place {
  id: string;
  end: string;
  namespace: string;
  name: string;
  kind: string;
}

export interface Posture {
  revision: number;
  total: NamespacePosture;
  namespaces: NamespacePosture[];
  exposed: Exposed[];
  denials: { count: number; top: DenialLine[] };
  findings: { error: number; warning: number; info: number };
  worst: Finding[];
  disagreements: Disagreement[];
  disagreementCount: number;
  staged: { policies: number; wouldDeny: number };
  unusedRules?: number;
  losses: Losses;
}

export interface NamespacePosture {
  namespace: string;
  workloads: number;
  ingress: number;
  egress: number;
  fromInternet: number;
  toInternet: number;
  denied: number;
  findings: number;
}

export interface Exposed {
  workload: Place;
  direction: string;
  ports: string;
  through: string;
  addresses: string[];
}

export interface DenialLine {
  from: Place;
  to: Place;
  protocol: string;
  port: number;
  count: number;
  by: string;
  last: string;
  record: string;
}

export interface Finding {
  check: string;
  severity: 'error' | 'warning' | 'info';
  source: SourcePlace;
  object: { kind: string; namespace: string; name: string };
  message: string;
  why: string;
  fix?: {
    description: string;
    yaml?: string;
    edit?: { file: string; first: number; last: number; replacement: string };
  };
  related?: { source: SourcePlace; text: string }[];
  url: string;
  fingerprint: string;
}

export interface SourcePlace {
  file: string;
  line: number;
  column: number;
}

export interface Disagreement {
  from: Place;
  to: Place;
  protocol: string;
  port: number;
  expected: Verdict;
  measured?: Verdict;
  observed?: Verdict;
  text: string;
}

export type Scope = 'namespaces' | 'workloads' | 'pods';

export interface MapView {
  revision: number;
  scope: Scope;
  width: number;
  height: number;
  groups: { name: string; x: number; y: number; w: number; h: number }[];
  nodes: MapNode[];
  edges: MapEdge[];
  moreEdges: number;
}

export interface MapNode extends Place {
  group?: number;
  x: number;
  y: number;
  w: number;
  h: number;
  pods: number;
  ingress: boolean;
  egress: boolean;
  hub?: string;
  findings: number;
}

export interface MapEdge {
  from: number;
  to: number;
  allowed: string;
  unprotected: boolean;
  folded: boolean;
  seen?: Seen;
}

export interface Seen {
  allowed: number;
  denied: number;
  staged: number;
  bytes: number;
  last?: string;
}

export interface EdgeDetails {
  from: Place;
  to: Place;
  why?: CanAnswer;
  untold?: string;
  seen: Seen;
  records: FlowRecord[];
}

export interface MatrixView {
  revision: number;
  parties: (Place & { pods: number })[];
  rows: (number | null)[];
  columns: number[];
  verdicts: { ports: string; named: { ports: string; ranges: PortRange[] }; ipv6?: string }[];
  cells: number[][];
  observed: { from: number; to: number; protocol: string; port: number; allowed: number; denied: number }[];
  measured: { from: number; to: number; protocol: string; port: number; allowed: boolean }[];
  disagreements: Disagreement[];
}

export interface PortRange {
  protocol: string;
  first: number;
  last: number;
}

// --- can ---

export type Short = 'yes' | 'no' | 'partly';

export interface CanAnswer {
  answer: Short;
  from: string;
  to: string;
  port?: string;
  servicePorts?: { protocol: string; port: number; name?: string; podPorts: number[] }[];
  connections: CanGroup[];
  moreConnections?: number;
  explanations: Explained[];
  notes?: string[];
}

export interface CanGroup {
  family?: string;
  from: string[];
  moreFrom?: number;
  to: string[];
  moreTo?: number;
  answer: Short;
  allowed: string;
  denied: string;
}

export interface Explained {
  from: string;
  to: string;
  port: string;
  family: string;
  verdict: Verdict;
  egress: Side;
  ingress: Side;
  near?: { rule: string; at: string; why: string }[];
  forbidden?: string[];
  change?: Change;
  hints?: string[];
}

export interface Side {
  verdict: Verdict;
  reason: string;
  policies?: AskedPolicy[];
}

export interface AskedPolicy {
  kind: string;
  policy: string;
  tier: string;
  priority?: number;
  at: string;
  asked: boolean;
  rules: AskedRule[];
}

export interface AskedRule {
  rule: string;
  at: string;
  effect: string;
  says: string;
  peer: boolean;
  port: boolean;
  matches: boolean;
  decides: boolean;
}

export interface Change {
  edits: { policy: string; at?: string; what: string; yaml: string }[];
  allows: string;
  alsoOpens: string[];
  more: number;
}

// --- flows ---

export interface FlowRecord {
  id: string;
  time: string;
  node: string;
  verdict: FlowVerdict;
  protocol: string;
  source: Endpoint;
  destination: Endpoint;
  asked?: string;
  service?: { namespace: string; name: string; port: number };
  egress?: Decision;
  ingress?: Decision;
  staged?: { verdict: Verdict; egress?: Decision; ingress?: Decision };
  policyVersion?: string;
  reply?: boolean;
  cut?: boolean;
  suppressed?: number;
  [more: string]: unknown;
}

export interface Endpoint {
  ip: string;
  port: number;
  kind: 'pod' | 'node' | 'outside';
  namespace?: string;
  pod?: string;
  owner?: { kind: string; name: string };
  node?: string;
  name?: string;
  labels?: Record<string, string>;
  dns?: string[];
}

export interface PolicyRef {
  kind?: string;
  namespace: string;
  name: string;
}

export interface Decision {
  verdict: Verdict;
  reason: string;
  policy?: PolicyRef;
  tier?: string;
  list?: 'ingress' | 'egress';
  rule?: number;
  written?: string;
  policies?: PolicyRef[];
  nearest?: { policy: PolicyRef; list: string; rule: number; but: string };
}

export interface FlowPage {
  records: FlowRecord[];
  matching: number;
  total: number;
  facets: Facet[];
  next?: string;
  losses: Losses;
}

export interface Facet {
  field: string;
  values: { value: string; count: number }[];
}

export interface Timeline {
  since: string;
  seconds: number;
  buckets: { allowed: number; denied: number; staged: number }[];
}

export interface FlowStory {
  record: FlowRecord;
  told?: {
    basis: 'of-that-time' | 'of-the-input';
    verdict: Verdict;
    differs: boolean;
    egress: ToldSide;
    ingress: ToldSide;
  };
  untold?: string;
}

export interface ToldSide {
  verdict: Verdict;
  by: string;
  policies: { policy: string; tier: string; rules: ToldRule[] }[];
}

export interface ToldRule {
  index: number;
  at?: string;
  effect: string;
  peer: boolean;
  port: boolean;
  matches: boolean;
  decides: boolean;
}

// --- policies ---

export interface PolicySummary {
  id: string;
  kind: string;
  namespace: string;
  name: string;
  tier: string;
  priority?: number;
  staged: boolean;
  ingress: boolean;
  egress: boolean;
  subjects: number;
  rules: number;
  hits?: number;
  findings: number;
  source: string;
}

export interface PolicyDetails extends PolicySummary {
  selected: (Place & { pods: number; of: number })[];
  ruleList: RuleSummary[];
  isolated?: number;
  findingList: Finding[];
  yaml: string;
  file: string;
  firstLine: number;
}

export interface RuleSummary {
  list: string;
  index: number;
  effect: string;
  says: string;
  line: number;
  hits?: number;
}

// --- what-if and advice ---

export interface Candidate {
  edits?: { replaces?: string; yaml: string }[];
  deleted?: string[];
  since?: string;
}

export interface WhatIf {
  revision: number;
  problems: Problem[];
  newFindings: Finding[];
  mendedFindings: Finding[];
  diff: Diff;
  cells: { from: string; to: string; before: string; after: string }[];
  replay?: Replay;
  patch: string;
}

export interface Diff {
  connections: DiffConnection[];
  exposed: { workload: string; ports: string; through?: string; source?: string }[];
  workloadsAdded: { workload: string; source: string }[];
  workloadsRemoved: { workload: string; source: string }[];
}

export interface DiffConnection {
  kind: 'opened' | 'closed' | 'changed';
  from: Ends;
  to: Ends;
  before: { ports: string; ranges: PortRange[] };
  after: { ports: string; ranges: PortRange[] };
  family?: string;
  workloadChanged: boolean;
  causes: DiffCause[];
}

export interface Ends {
  allPods?: boolean;
  namespaces?: string[];
  workloads?: string[];
  except?: string[];
  addresses?: string[];
  domains?: string[];
}

export interface DiffCause {
  effect: string;
  direction: string;
  policies: string[];
  rule?: number;
  sources: string[];
  state: string;
}

export interface Replay {
  window?: { first: string; last: string };
  records: number;
  lost: { flows: number; suppressed: number };
  replies: number;
  cut: ReplayChange[];
  opened: ReplayChange[];
  kept: { allowed: number; denied: number };
  unjudged: (Omit<ReplayChange, 'egress' | 'ingress'> & { why: string })[];
}

export interface ReplayChange {
  from: string;
  to: string;
  protocol: string;
  port: number;
  connections: number;
  first: string;
  last: string;
  addresses?: string[];
  moreAddresses?: number;
  egress: { verdict: Verdict; by: string };
  ingress: { verdict: Verdict; by: string };
}

export interface Recommendation {
  revision: number;
  statement: string[];
  policies: { workload: string; connections: number; warnings: string[]; yaml: string }[];
}

export interface Completions {
  from: number;
  items: { text: string; kind: string; help: string }[];
}

export interface Vocabulary {
  places: Place[];
}

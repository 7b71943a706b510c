import type { Disagreement, MatrixVerdict, MatrixView, WhatIf } from '../api/types';
import { onPort } from '../ui/format';
import { cellsOf, type Cells } from './cells';
import { holds, portText, type PortQuestion } from './ports';

/** What a cell says at a glance. `mixed`: a folded namespace whose workloads differ. */
export type Glance = 'allowed' | 'denied' | 'partly' | 'mixed' | 'never';

export const GLANCES: Record<Glance, { sign: string; text: string }> = {
  allowed: { sign: '✓', text: 'allowed' },
  denied: { sign: '✕', text: 'denied' },
  partly: { sign: '◐', text: 'some ports' },
  mixed: { sign: '◪', text: 'differs' },
  never: { sign: '', text: 'never connects' },
};

/** What a change does to a cell. */
export type ChangeKind = 'opened' | 'closed' | 'changed';

export interface CellChange {
  kind: ChangeKind;
  before: string;
  after: string;
}

/** A line or a column: a workload, or all of a folded namespace. */
export type Item = { party: number; group: number } | { fold: true; group: number };

/** Parties that stand together. */
export interface Group {
  /** The namespace; empty for what is outside of the cluster. */
  name: string;
  title: string;
  parties: number[];
}

/** What is seen and measured between two parties. */
export interface Evidence {
  allowed: number;
  denied: number;
  /** `TCP 5432: 12 seen, 2 denied`, one for each port. */
  observed: string[];
  measured: string[];
  disagreements: Disagreement[];
}

export type VerdictFilter = 'allowed' | 'denied' | 'partly' | 'disagree' | 'changed';
export const VERDICT_FILTERS: readonly VerdictFilter[] = [
  'allowed',
  'partly',
  'denied',
  'disagree',
  'changed',
];

export interface Filters {
  from: string;
  to: string;
  port: PortQuestion | undefined;
  verdict: VerdictFilter | undefined;
}

/** The truth table, ready to be asked. */
export class Model {
  readonly groups: readonly Group[];
  private readonly groupOf: readonly number[];
  private readonly evidence = new Map<number, Evidence>();
  private readonly changes = new Map<number, CellChange>();
  private readonly byId: ReadonlyMap<string, number>;
  private readonly folded = new Map<string, { glance: Glance; share: number }>();
  private readonly glances: readonly Glance[];
  private readonly cells: Cells;
  /** Pairs of items, folded ones too, by their keys: where something disagrees, and what a change does. */
  private readonly disagreeing = new Set<string>();
  private readonly changing = new Map<string, ChangeKind>();

  constructor(
    readonly view: MatrixView,
    readonly port: PortQuestion | undefined,
    compared: WhatIf['cells'] | undefined,
  ) {
    this.cells = cellsOf(view);
    this.glances = view.verdicts.map((verdict) => this.read(verdict));
    this.byId = new Map(view.parties.map((party, index) => [party.id, index]));
    const groups = new Map<string, Group>();
    view.parties.forEach((party, index) => {
      const name = party.namespace;
      const group = groups.get(name) ?? {
        name,
        title: name === '' ? 'outside' : name,
        parties: [],
      };
      group.parties.push(index);
      groups.set(name, group);
    });
    this.groups = [...groups.values()];
    const groupOf: number[] = [];
    this.groups.forEach((group, index) => group.parties.forEach((party) => (groupOf[party] = index)));
    this.groupOf = groupOf;
    for (const seen of view.observed) {
      const it = this.evidenceAt(seen.from, seen.to);
      it.allowed += seen.allowed;
      it.denied += seen.denied;
      const parts = [
        ...(seen.allowed > 0 ? [`${seen.allowed} let through`] : []),
        ...(seen.denied > 0 ? [`${seen.denied} denied`] : []),
      ];
      it.observed.push(`${onPort(seen.protocol, seen.port)}: ${parts.join(', ')}`);
    }
    for (const probe of view.measured) {
      const tried = probe.allowed + probe.denied;
      const result =
        probe.denied === 0
          ? 'came through'
          : probe.allowed === 0
            ? 'did not come through'
            : `${probe.allowed} of ${tried} came through`;
      this.evidenceAt(probe.from, probe.to).measured.push(`${onPort(probe.protocol, probe.port)}: ${result}`);
    }
    for (const disagreement of view.disagreements) {
      const from = this.byId.get(disagreement.from.id);
      const to = this.byId.get(disagreement.to.id);
      if (from === undefined || to === undefined) continue;
      this.evidenceAt(from, to).disagreements.push(disagreement);
      for (const key of this.pairKeys(from, to)) this.disagreeing.add(key);
    }
    for (const cell of compared ?? []) {
      const from = this.byId.get(cell.from);
      const to = this.byId.get(cell.to);
      if (from === undefined || to === undefined) continue;
      const kind = changeKind(cell.before, cell.after);
      this.changes.set(this.key(from, to), { kind, ...cell });
      for (const key of this.pairKeys(from, to)) {
        const known = this.changing.get(key);
        this.changing.set(key, known === undefined || known === kind ? kind : 'changed');
      }
    }
  }

  party(id: string): number | undefined {
    return this.byId.get(id);
  }

  group(party: number): number {
    return this.groupOf[party] ?? 0;
  }

  title(party: number): string {
    const it = this.view.parties[party];
    if (it === undefined) return '';
    return it.namespace === '' ? it.name : `${it.namespace}/${it.name}`;
  }

  /** The place in `verdicts` of a cell; `undefined`: it never connects. */
  verdict(from: number, to: number): number | undefined {
    const row = this.view.rows[from];
    const column = this.view.columns[to];
    if (row === undefined || row === null || column === undefined) return undefined;
    return this.cells.at(row, column);
  }

  glance(from: number, to: number): Glance {
    return this.glanceOf(this.verdict(from, to));
  }

  glanceOf(verdict: number | undefined): Glance {
    return (verdict === undefined ? undefined : this.glances[verdict]) ?? 'never';
  }

  private read(verdict: MatrixVerdict): Glance {
    if (this.port !== undefined) return holds(verdict.named.ranges, this.port) ? 'allowed' : 'denied';
    const ipv6 = verdict.ipv6 ?? verdict.ports;
    if (verdict.ports === 'none' && ipv6 === 'none') return 'denied';
    return verdict.ports === 'all' && ipv6 === 'all' ? 'allowed' : 'partly';
  }

  change(from: number, to: number): CellChange | undefined {
    return this.changes.get(this.key(from, to));
  }

  /** How many cells change, by kind. */
  get changed(): Record<ChangeKind, number> {
    const count = { opened: 0, closed: 0, changed: 0 };
    for (const { kind } of this.changes.values()) count[kind] += 1;
    return count;
  }

  evidenceOf(from: number, to: number): Evidence | undefined {
    return this.evidence.get(this.key(from, to));
  }

  /** What a cell of two items says; those of folded namespaces say what all their workloads say. */
  glanceAt(line: Item, column: Item): Glance {
    if ('party' in line && 'party' in column) return this.glance(line.party, column.party);
    return this.together(line, column).glance;
  }

  /** How much of what a folded cell stands for is allowed, in part at least: from 0 to 1. */
  shareAt(line: Item, column: Item): number {
    return this.together(line, column).share;
  }

  private together(line: Item, column: Item): { glance: Glance; share: number } {
    const key = pairKey(line, column);
    const known = this.folded.get(key);
    if (known !== undefined) return known;
    // Workloads that policy can't tell apart need one look.
    const rows = new Set(this.partiesOf(line).map((party) => this.view.rows[party]));
    const columns = new Set(this.partiesOf(column).map((party) => this.view.columns[party]));
    const count: Record<Glance, number> = { allowed: 0, denied: 0, partly: 0, mixed: 0, never: 0 };
    for (const row of rows) {
      if (row === undefined || row === null) continue;
      for (const one of columns)
        count[this.glanceOf(one === undefined ? undefined : this.cells.at(row, one))] += 1;
    }
    const kinds = (['allowed', 'denied', 'partly'] as const).filter((kind) => count[kind] > 0);
    const open = count.allowed + count.partly;
    const result = {
      glance: kinds.length === 0 ? ('never' as const) : kinds.length === 1 ? kinds[0]! : ('mixed' as const),
      share: open === 0 ? 0 : open / (open + count.denied),
    };
    this.folded.set(key, result);
    return result;
  }

  /** Whether something in a cell disagrees. */
  disagreesAt(line: Item, column: Item): boolean {
    return this.disagreeing.has(pairKey(line, column));
  }

  /** What a change does to a cell; several things make it `changed`. */
  changeAt(line: Item, column: Item): ChangeKind | undefined {
    return this.changing.get(pairKey(line, column));
  }

  partiesOf(item: Item): readonly number[] {
    return 'party' in item ? [item.party] : (this.groups[item.group]?.parties ?? []);
  }

  /** Lines and columns to show. */
  axes(filters: Filters, open: ReadonlySet<string>): { lines: Item[]; columns: Item[] } {
    const from = this.matching(filters.from);
    const to = this.matching(filters.to);
    let lines = from;
    let columns = to;
    if (filters.verdict !== undefined) {
      const wanted = filters.verdict;
      const sparse = this.sparse(wanted);
      if (sparse !== undefined) {
        const [sources, destinations] = [new Set(from), new Set(to)];
        const cells = sparse.filter((cell) => sources.has(cell.from) && destinations.has(cell.to));
        const [ofLines, ofColumns] = [
          new Set(cells.map((cell) => cell.from)),
          new Set(cells.map((cell) => cell.to)),
        ];
        lines = from.filter((party) => ofLines.has(party));
        columns = to.filter((party) => ofColumns.has(party));
      } else {
        // One of those that policy can't tell apart stands for all.
        const some = representatives(to, this.view.columns);
        const others = representatives(from, this.view.rows);
        const fits = (line: number, column: number) => this.glance(line, column) === wanted;
        lines = from.filter((party) => some.some((other) => fits(party, other)));
        columns = to.filter((party) => others.some((other) => fits(other, party)));
      }
    }
    return { lines: this.items(lines, open), columns: this.items(columns, open) };
  }

  /** The cells that a filter wants, where these are few in any table. */
  private sparse(wanted: VerdictFilter): { from: number; to: number }[] | undefined {
    const keys =
      wanted === 'changed'
        ? [...this.changes.keys()]
        : wanted === 'disagree'
          ? [...this.evidence].flatMap(([key, it]) => (it.disagreements.length > 0 ? [key] : []))
          : undefined;
    const parties = this.view.parties.length;
    return keys?.map((key) => ({ from: Math.floor(key / parties), to: key % parties }));
  }

  /** Whether a filter of verdicts wants some of what a cell stands for. */
  fitsAt(line: Item, column: Item, wanted: VerdictFilter): boolean {
    if (wanted === 'disagree') return this.disagreesAt(line, column);
    if (wanted === 'changed') return this.changeAt(line, column) !== undefined;
    const glance = this.glanceAt(line, column);
    return glance === wanted || glance === 'mixed';
  }

  itemTitle(item: Item): string {
    if ('party' in item) return this.title(item.party);
    const group = this.groups[item.group];
    return group === undefined ? '' : `${group.title} (${group.parties.length})`;
  }

  /** A cell in sentences. */
  sentence(line: Item, column: Item): string {
    const ends = `${this.itemTitle(line)} to ${this.itemTitle(column)}`;
    if (!('party' in line && 'party' in column)) {
      const glance = this.glanceAt(line, column);
      const text =
        glance === 'mixed' ? 'differs between workloads; unfold to see each' : `${this.says(glance)} for all`;
      const disagree = this.disagreesAt(line, column) ? ' Something disagrees.' : '';
      const change = this.changeAt(line, column);
      return `${ends}: ${text}.${disagree}${change === undefined ? '' : ` The change: ${change}.`}`;
    }
    const parts = [`${ends}: ${this.ports(line.party, column.party)}.`];
    const change = this.change(line.party, column.party);
    if (change !== undefined)
      parts.push(`The change: ${change.kind}, from ${change.before} to ${change.after}.`);
    const evidence = this.evidenceOf(line.party, column.party);
    if (evidence !== undefined) {
      if (evidence.observed.length > 0) parts.push(`Seen: ${shortList(evidence.observed)}.`);
      if (evidence.measured.length > 0) parts.push(`Probed: ${shortList(evidence.measured)}.`);
      for (const disagreement of evidence.disagreements.slice(0, 2))
        parts.push(`Disagrees: ${disagreement.text}`);
    }
    return parts.join(' ');
  }

  /** Which ports a cell allows, in as few words as there are; empty: that takes more. */
  portsAt(from: Item, to: Item): string {
    if (!('party' in from && 'party' in to)) return '';
    const verdict = this.verdict(from.party, to.party);
    const it = verdict === undefined ? undefined : this.view.verdicts[verdict];
    return it === undefined || it.ipv6 !== undefined ? '' : it.ports;
  }

  /** Which ports a cell allows, in words. */
  ports(from: number, to: number): string {
    const verdict = this.verdict(from, to);
    const it = verdict === undefined ? undefined : this.view.verdicts[verdict];
    if (it === undefined) return 'never connects';
    const words = (ports: string) =>
      ports === 'none'
        ? 'denied on all ports'
        : ports === 'all'
          ? 'allowed on all ports'
          : `allowed on ${ports}`;
    const text = it.ipv6 === undefined ? words(it.ports) : `IPv4 ${words(it.ports)}, IPv6 ${words(it.ipv6)}`;
    if (this.port === undefined) return text;
    return `${this.says(this.glanceOf(verdict))} (${text})`;
  }

  private says(glance: Glance): string {
    const text = GLANCES[glance].text;
    if (this.port !== undefined && glance !== 'never') return `${text} on ${portText(this.port)}`;
    return glance === 'partly' ? 'allowed on some ports' : text;
  }

  private matching(text: string): number[] {
    const wanted = text.trim().toLowerCase();
    const all = this.view.parties.map((_, index) => index);
    return wanted === '' ? all : all.filter((party) => this.title(party).toLowerCase().includes(wanted));
  }

  private items(parties: readonly number[], open: ReadonlySet<string>): Item[] {
    const items: Item[] = [];
    let folded = -1;
    // Groups stand together in the table, but parties of one may be apart in the answer.
    const sorted = [...parties].sort((a, b) => this.group(a) - this.group(b) || a - b);
    for (const party of sorted) {
      const group = this.group(party);
      if (open.has(this.groups[group]?.name ?? '')) items.push({ party, group });
      else if (folded !== group) {
        folded = group;
        items.push({ fold: true, group });
      }
    }
    return items;
  }

  /** The items that a cell is part of: itself, and those where either end or both are folded. */
  private pairKeys(from: number, to: number): string[] {
    const items = (party: number): Item[] => [
      { party, group: this.group(party) },
      { fold: true, group: this.group(party) },
    ];
    return items(from).flatMap((line) => items(to).map((column) => pairKey(line, column)));
  }

  private evidenceAt(from: number, to: number): Evidence {
    const key = this.key(from, to);
    let it = this.evidence.get(key);
    if (it === undefined) {
      it = { allowed: 0, denied: 0, observed: [], measured: [], disagreements: [] };
      this.evidence.set(key, it);
    }
    return it;
  }

  private key(from: number, to: number): number {
    return from * this.view.parties.length + to;
  }
}

/** One of each class. */
function representatives(parties: readonly number[], classes: readonly (number | null)[]): number[] {
  const seen = new Set<number | null | undefined>();
  return parties.filter((party) => !seen.has(classes[party]) && seen.add(classes[party]));
}

function pairKey(line: Item, column: Item): string {
  return `${itemKey(line)} ${itemKey(column)}`;
}

function itemKey(item: Item): string {
  return 'party' in item ? String(item.party) : `+${item.group}`;
}

function shortList(texts: readonly string[]): string {
  const rest = texts.length - 3;
  return texts.slice(0, 3).join('; ') + (rest > 0 ? `; ${rest} more` : '');
}

/** What becomes of a cell. */
export function changeKind(before: string, after: string): ChangeKind {
  const closed = (ports: string) => ports === '' || ports === 'none';
  if (closed(before) || after === 'all') return 'opened';
  if (closed(after) || before === 'all') return 'closed';
  return 'changed';
}

/** Up to so many parties, all namespaces are open at first. */
export const OPEN_UP_TO = 120;

/** Namespaces that are open, as the address says: `all`, `none`, or their names. */
export function openGroups(model: Model, values: readonly string[]): ReadonlySet<string> {
  const names = model.groups.map((group) => group.name);
  if (values.includes('all') || (values.length === 0 && model.view.parties.length <= OPEN_UP_TO))
    return new Set(names);
  return new Set(names.filter((name) => values.includes(name === '' ? 'outside' : name)));
}

/** Writes which namespaces are open. */
export function openParam(model: Model, open: ReadonlySet<string>): readonly string[] {
  const names = model.groups.map((group) => group.name);
  const on = names.filter((name) => open.has(name));
  const few = model.view.parties.length <= OPEN_UP_TO;
  if (on.length === names.length) return few ? [] : ['all'];
  if (on.length === 0) return few ? ['none'] : [];
  return on.map((name) => (name === '' ? 'outside' : name));
}

// From lines and columns to places in a text.
import type { Finding, Problem, WhatIf } from '../api/types';

export interface Mark {
  from: number;
  to: number;
  severity: 'error' | 'warning' | 'info';
  message: string;
}

const SEVERITIES = ['error', 'warning', 'info'] as const;

/** New findings beside the problems: what can't be read is among both. */
export function beside(answer: Pick<WhatIf, 'newFindings' | 'problems'>): Finding[] {
  const told = new Set(answer.problems.map((it) => `${it.file}:${it.line}`));
  return answer.newFindings.filter(
    (it) => it.check !== 'invalid-object' || !told.has(`${it.source.file}:${it.source.line}`),
  );
}

/** Findings as problems, to be marked where they are. */
export function asProblems(findings: readonly Finding[]): Problem[] {
  return findings.map((it) => ({ ...it.source, severity: it.severity, message: it.message }));
}

/** Problems as marks; what has no line is at the first. */
export function diagnostics(text: string, problems: readonly Problem[]): Mark[] {
  const lines = text.split('\n');
  const starts: number[] = [];
  let at = 0;
  for (const line of lines) {
    starts.push(at);
    at += line.length + 1;
  }
  return problems
    .map((it) => {
      const index = Math.min(Math.max(0, it.line - 1), lines.length - 1);
      const line = lines[index] ?? '';
      const indent = line.length - line.trimStart().length;
      const column = it.column > 0 ? Math.min(it.column - 1, line.length) : indent;
      const start = starts[index] ?? 0;
      // A word, or what is left of the line; never nothing, so that it is seen.
      const word = /^[\w./-]+/.exec(line.slice(column))?.[0].length ?? line.length - column;
      return {
        from: start + column,
        to: start + Math.min(line.length, column + Math.max(word, 1)),
        severity: SEVERITIES.find((known) => known === it.severity) ?? 'warning',
        message: it.message,
      };
    })
    .sort((a, b) => a.from - b.from);
}

import type { PortRange } from '../api/types';

/** A port that one asks about; without protocol, the port of any. */
export interface PortQuestion {
  protocol: string | undefined;
  port: number;
}

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];

/** Reads `5432`, `TCP/5432`, `5432/tcp`, `udp 53`. `undefined`: that isn't a port. */
export function readPort(text: string): PortQuestion | undefined {
  const words = text
    .toUpperCase()
    .split(/[\s/:]+/)
    .filter((word) => word !== '');
  if (words.length < 1 || words.length > 2) return undefined;
  const protocol = words.find((word) => PROTOCOLS.includes(word));
  const number = words.find((word) => /^\d{1,5}$/.test(word));
  if (number === undefined || (words.length === 2 && protocol === undefined)) return undefined;
  const port = Number(number);
  return port >= 1 && port <= 65_535 ? { protocol, port } : undefined;
}

/** How a question is said. */
export function portText(question: PortQuestion): string {
  return question.protocol === undefined ? `port ${question.port}` : `${question.protocol} ${question.port}`;
}

/** Ports without their protocols, each once: as much as a small cell can say. */
export function bare(ports: string): string {
  return [...new Set(ports.replace(/\b[A-Z]+ /g, '').split(', '))].join(', ');
}

export function holds(ranges: readonly PortRange[], question: PortQuestion): boolean {
  return ranges.some(
    (range) =>
      (question.protocol === undefined || range.protocol === question.protocol) &&
      range.first <= question.port &&
      question.port <= range.last,
  );
}

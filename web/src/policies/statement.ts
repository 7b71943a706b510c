/** A sentence, and what it is about. */
export interface Paragraph {
  sentence: string;
  of: string[];
}

/** The lines of a statement: those that are indented are what the one above them is about. */
export function paragraphs(lines: readonly string[]): Paragraph[] {
  const found: Paragraph[] = [];
  for (const line of lines) {
    const last = found[found.length - 1];
    if (last !== undefined && line.startsWith(' ')) last.of.push(line.trim());
    else found.push({ sentence: line.trim(), of: [] });
  }
  return found;
}

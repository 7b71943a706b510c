// Verdicts as people see them: a word, a sign and a colour, always all three.

export type Shown = 'allowed' | 'denied' | 'partly' | 'staged' | 'unknown';

export const SIGNS: Readonly<Record<Shown, string>> = {
  allowed: '✓',
  denied: '✕',
  partly: '◐',
  staged: '◇',
  unknown: '?',
};

export const WORDS: Readonly<Record<Shown, string>> = {
  allowed: 'allowed',
  denied: 'denied',
  partly: 'partly',
  staged: 'staged would deny',
  unknown: 'unknown',
};

/** The custom properties of theme.css that have its colours. */
export const COLOURS: Readonly<Record<Shown, string>> = {
  allowed: '--allowed',
  denied: '--denied',
  partly: '--partly',
  staged: '--staged',
  unknown: '--muted',
};

/** The answer of `can` as a verdict. */
export function ofAnswer(answer: string): Shown {
  return answer === 'yes' ? 'allowed' : answer === 'no' ? 'denied' : 'partly';
}

/** A verdict of the API. */
export function shown(verdict: string): Shown {
  return verdict === 'allowed' || verdict === 'denied' ? verdict : 'unknown';
}

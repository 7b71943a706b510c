// Light or dark: as the system has it, or as chosen here.
export type Choice = 'system' | 'light' | 'dark';

const KEY = 'podgate-theme';
const CHOICES: readonly Choice[] = ['system', 'light', 'dark'];

function stored(): Choice {
  try {
    return CHOICES.find((choice) => choice === localStorage.getItem(KEY)) ?? 'system';
  } catch {
    // Storage may be forbidden; the switch then holds until the page is left.
    return 'system';
  }
}

class Theme {
  choice: Choice = $state(stored());
  #system = matchMedia('(prefers-color-scheme: dark)');
  #systemDark = $state(this.#system.matches);

  constructor() {
    this.#system.addEventListener('change', (event) => {
      this.#systemDark = event.matches;
      this.apply();
    });
  }

  /** What is shown. Canvases read it to draw again when it changes. */
  get dark(): boolean {
    return this.choice === 'system' ? this.#systemDark : this.choice === 'dark';
  }

  /** The next of the three choices. */
  next(): void {
    this.choice = CHOICES[(CHOICES.indexOf(this.choice) + 1) % CHOICES.length] ?? 'system';
    try {
      localStorage.setItem(KEY, this.choice);
    } catch {
      // As above.
    }
    this.apply();
  }

  apply(): void {
    document.documentElement.dataset['theme'] = this.dark ? 'dark' : 'light';
  }
}

export const theme = new Theme();

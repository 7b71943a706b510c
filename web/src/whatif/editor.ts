// The YAML editor. It is the page's largest part, and loaded only where somebody edits.
import {
  autocompletion,
  completionKeymap,
  type CompletionContext,
  type CompletionResult,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, HighlightStyle, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { Completions, Problem } from '../api/types';
import { diagnostics } from './problems';

export interface Options {
  text: string;
  label: string;
  onchange: (text: string) => void;
  /** What may be written at a place, lines and columns from 0. */
  complete: (text: string, line: number, column: number, signal: AbortSignal) => Promise<Completions>;
}

export interface Editor {
  /** Another text, as when another policy is edited. */
  set(text: string): void;
  /** Marks what is wrong. */
  mark(problems: readonly Problem[]): void;
  focus(): void;
  destroy(): void;
}

const WORD = /[\w./-]*$/;

const theme = EditorView.theme({
  '&': { height: '100%', fontSize: '12.5px', color: 'var(--text)', backgroundColor: 'var(--surface)' },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '-2px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-gutters': { backgroundColor: 'var(--sunken)', color: 'var(--muted)', border: 'none' },
  '.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--accent) 7%, transparent)' },
  '.cm-activeLineGutter': { backgroundColor: 'var(--accent-soft)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'var(--accent-soft)',
  },
  '.cm-tooltip': {
    backgroundColor: 'var(--surface)',
    border: '1px solid var(--line-strong)',
    borderRadius: 'var(--radius)',
    boxShadow: 'var(--shadow-high)',
  },
  '.cm-tooltip-autocomplete ul li[aria-selected]': {
    backgroundColor: 'var(--accent-soft)',
    color: 'var(--text)',
  },
  '.cm-completionDetail': { color: 'var(--muted)', fontStyle: 'normal' },
  // In place of pictures, which the content security policy doesn't let through.
  '.cm-lintRange-error': { backgroundImage: 'none', textDecoration: 'underline wavy var(--denied)' },
  '.cm-lintRange-warning': { backgroundImage: 'none', textDecoration: 'underline wavy var(--partly)' },
  '.cm-lint-marker-error': { content: 'none' },
  '.cm-lint-marker-error::after': { content: '"✕"', color: 'var(--denied)', fontWeight: '700' },
  '.cm-lintRange-info': { backgroundImage: 'none', textDecoration: 'underline dotted var(--accent)' },
  '.cm-lint-marker-info': { content: 'none' },
  '.cm-lint-marker-info::after': { content: '"i"', color: 'var(--accent)', fontWeight: '700' },
  '.cm-lint-marker-warning': { content: 'none' },
  '.cm-lint-marker-warning::after': { content: '"◐"', color: 'var(--partly)', fontWeight: '700' },
  '.cm-diagnostic': { padding: '4px 10px' },
});

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--accent)' },
  { tag: [tags.string, tags.content], color: 'var(--text)' },
  { tag: [tags.comment, tags.lineComment], color: 'var(--muted)', fontStyle: 'italic' },
  { tag: [tags.keyword, tags.meta, tags.number, tags.bool], color: 'var(--staged)' },
  { tag: tags.invalid, color: 'var(--denied)' },
]);

export function create(parent: HTMLElement, options: Options): Editor {
  const source = async (context: CompletionContext): Promise<CompletionResult | null> => {
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    if (!context.explicit && before.trim() !== '' && WORD.exec(before)?.[0] === '' && !/[:-] $/.test(before))
      return null;
    const abort = new AbortController();
    context.addEventListener('abort', () => abort.abort());
    const column = context.pos - line.from;
    try {
      const found = await options.complete(
        context.state.doc.toString(),
        line.number - 1,
        column,
        abort.signal,
      );
      if (found.items.length === 0) return null;
      return {
        from: line.from + Math.min(found.from, column),
        options: found.items.map((it, at) => ({
          label: it.text,
          detail: it.help === '' ? it.kind : it.help,
          type: it.kind === 'field' ? 'property' : 'text',
          // The server's order, which knows what is likely.
          boost: 99 - Math.min(at, 198),
        })),
        validFor: /^[\w./-]*$/,
      };
    } catch {
      // Writing goes on without help.
      return null;
    }
  };

  const state = (text: string) =>
    EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        lintGutter(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        drawSelection(),
        history(),
        bracketMatching(),
        indentUnit.of('  '),
        yaml(),
        syntaxHighlighting(colours),
        autocompletion({ override: [source], icons: false, activateOnTypingDelay: 150 }),
        keymap.of([...completionKeymap, ...lintKeymap, ...historyKeymap, ...defaultKeymap]),
        EditorView.contentAttributes.of({ 'aria-label': options.label }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.onchange(update.state.doc.toString());
        }),
        theme,
      ],
    });

  const view = new EditorView({ parent, state: state(options.text) });
  return {
    set(text) {
      // A fresh state: undo doesn't lead from one policy into another.
      if (text !== view.state.doc.toString()) view.setState(state(text));
    },
    mark(problems) {
      const marks: Diagnostic[] = diagnostics(view.state.doc.toString(), problems);
      view.dispatch(setDiagnostics(view.state, marks));
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

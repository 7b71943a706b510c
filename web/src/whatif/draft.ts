// A change to try, in the address: nobody stores it, and a link to it works anywhere.
import type { Candidate } from '../api/types';

/** A policy that is written anew, or besides. */
export interface DraftEdit {
  /** Id of the policy that it replaces; empty: it is new. */
  replaces: string;
  yaml: string;
}

export interface Draft {
  edits: DraftEdit[];
  /** Ids of policies that go. */
  deleted: string[];
}

export const EMPTY: Draft = { edits: [], deleted: [] };

/** As text that an address can have: JSON, deflated, in base64 without signs that addresses need. */
export async function encode(draft: Draft): Promise<string> {
  const bytes = new TextEncoder().encode(
    JSON.stringify([draft.edits.map((it) => [it.replaces, it.yaml]), draft.deleted]),
  );
  const packed = await through(bytes, new CompressionStream('deflate-raw'));
  let text = '';
  for (const byte of packed) text += String.fromCharCode(byte);
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Back; `undefined`: it isn't one, as when a link was cut off. */
export async function decode(text: string): Promise<Draft | undefined> {
  try {
    const packed = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (it) =>
      it.charCodeAt(0),
    );
    const bytes = await through(packed, new DecompressionStream('deflate-raw'));
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (!Array.isArray(value) || !Array.isArray(value[0]) || !Array.isArray(value[1])) return undefined;
    const edits = value[0].map((it: unknown) => {
      if (!Array.isArray(it) || typeof it[0] !== 'string' || typeof it[1] !== 'string')
        throw new TypeError('no edit');
      return { replaces: it[0], yaml: it[1] };
    });
    if (!value[1].every((it): it is string => typeof it === 'string')) return undefined;
    return { edits, deleted: value[1] };
  } catch {
    return undefined;
  }
}

/** What POST /what-if takes; edits without text ask for nothing. */
export function candidate(draft: Draft, since: string | undefined): Candidate {
  return {
    edits: draft.edits
      .filter((it) => it.yaml.trim() !== '')
      .map((it) => (it.replaces === '' ? { yaml: it.yaml } : { replaces: it.replaces, yaml: it.yaml })),
    deleted: draft.deleted,
    since,
  };
}

async function through(
  bytes: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
): Promise<Uint8Array> {
  const packed = new Response(new Blob([bytes]).stream().pipeThrough(stream));
  return new Uint8Array(await packed.arrayBuffer());
}

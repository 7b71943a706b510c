// Asks the server. Failures are sentences that say what to do.
import type { Params } from '../route';
import type * as api from './types';

const BASE = 'api/v1/';

/** A request that failed, with what to show. */
export class ApiError extends Error {
  constructor(
    /** HTTP status; 0: no answer. */
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** The address of a resource, relative to the page's. */
export function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const each of Array.isArray(value) ? value : [value]) search.append(name, String(each));
  }
  const text = search.toString();
  return `${BASE}${path}${text === '' ? '' : `?${text}`}`;
}

async function ask<T>(url: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: 'same-origin', ...init });
  } catch (failure) {
    if (init.signal?.aborted) throw failure;
    throw new ApiError(
      0,
      'The server does not answer. Is podgate still running? The page tries again by itself.',
    );
  }
  if (!response.ok) throw new ApiError(response.status, await complaint(response));
  try {
    return (await response.json()) as T;
  } catch (failure) {
    if (init.signal?.aborted) throw failure;
    throw new ApiError(response.status, 'The server’s answer broke off. Reload the page.');
  }
}

async function complaint(response: Response): Promise<string> {
  try {
    const body: unknown = await response.json();
    if (body !== null && typeof body === 'object' && 'error' in body && typeof body.error === 'string')
      return body.error;
  } catch {
    // Not of our server, or not in our form.
  }
  if (response.status === 401 || response.status === 403) {
    return 'The server wants a token: open the address that podgate printed when it started.';
  }
  return `The server answered ${response.status} ${response.statusText}`.trimEnd() + '.';
}

function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return ask<T>(address(path, query), { signal });
}

function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return ask<T>(address(path), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  });
}

export interface TimeWindow {
  since?: string | undefined;
  until?: string | undefined;
}

/** Every route of the API. */
export const client = {
  status: (signal?: AbortSignal) => get<api.Status>('status', {}, signal),
  posture: (window: TimeWindow, signal?: AbortSignal) => get<api.Posture>('posture', { ...window }, signal),
  map: (
    query: TimeWindow & { scope?: api.Scope; namespace?: readonly string[]; focus?: string; edges?: number },
    signal?: AbortSignal,
  ) => get<api.MapView>('map', { ...query }, signal),
  edge: (query: TimeWindow & { from: string; to: string }, signal?: AbortSignal) =>
    get<api.EdgeDetails>('edge', { ...query }, signal),
  matrix: (query: TimeWindow & { namespace?: readonly string[] }, signal?: AbortSignal) =>
    get<api.MatrixView>('matrix', { ...query }, signal),
  why: (query: { from: string; to: string; port?: string }, signal?: AbortSignal) =>
    get<api.CanAnswer>('why', { ...query }, signal),
  flows: (filters: Params, query: TimeWindow & { before?: string; limit?: number }, signal?: AbortSignal) =>
    get<api.FlowPage>('flows', { ...filters, ...query }, signal),
  story: (id: string, signal?: AbortSignal) =>
    get<api.FlowStory>(`flows/${encodeURIComponent(id)}/story`, {}, signal),
  timeline: (filters: Params, query: TimeWindow & { buckets?: number }, signal?: AbortSignal) =>
    get<api.Timeline>('timeline', { ...filters, ...query }, signal),
  policies: (query: { since?: string }, signal?: AbortSignal) =>
    get<api.PolicyList>('policies', { ...query }, signal),
  policy: (id: string, query: { since?: string }, signal?: AbortSignal) =>
    get<api.PolicyDetails>(`policies/${encodeURIComponent(id)}`, { ...query }, signal),
  findings: (signal?: AbortSignal) => get<api.FindingList>('findings', {}, signal),
  whatIf: (candidate: api.Candidate, signal?: AbortSignal) => post<api.WhatIf>('what-if', candidate, signal),
  complete: (body: { yaml: string; line: number; column: number }, signal?: AbortSignal) =>
    post<api.Completions>('complete', body, signal),
  recommendations: (query: { since?: string; namespace?: string }, signal?: AbortSignal) =>
    get<api.Recommendation>('recommendations', { ...query }, signal),
  places: (signal?: AbortSignal) => get<api.Places>('places', {}, signal),
};

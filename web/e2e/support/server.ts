import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

/** The repository. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** The binary that is tested: `PODGATE`, or what cargo built last. */
export function binary(): string {
  const target = process.env['CARGO_TARGET_DIR'] ?? `${ROOT}target`;
  const built = [`${target}/release/podgate`, `${target}/debug/podgate`];
  const found = process.env['PODGATE'] ?? built.find((path) => existsSync(path));
  if (found === undefined || !existsSync(found)) {
    throw new Error(
      `there is no podgate to test at ${found ?? built.join(' or ')}: run "cargo build --bin podgate"`,
    );
  }
  return found;
}

/** A server that a test started. */
export interface Server {
  url: string;
  /** Everything that it printed. */
  printed: () => string;
  stop: () => Promise<void>;
}

/** Starts `podgate ui` in a directory, on a port of its own, and waits until it says where it is. */
export async function serve(cwd: string, args: readonly string[]): Promise<Server> {
  const server = await start(cwd, ['ui', ...args, '--listen', '127.0.0.1:0'], /http:\/\/[^\s]+/);
  return { ...server, url: server.url.replace(/\/$/, '') };
}

/** Starts `podgate relay` there, for flows of a peer. */
export async function relay(at: string, peer: string): Promise<Server> {
  return start(ROOT, ['relay', '--listen', at, '--peers', peer], /(?<=flows of .* at )\S+/);
}

/** An address of this machine where nobody listens. */
export async function freeAddress(): Promise<string> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(`127.0.0.1:${port}`));
    });
  });
}

/** Starts podgate, and waits until it prints where it is. */
async function start(cwd: string, args: readonly string[], place: RegExp): Promise<Server> {
  const command = binary();
  const child = spawn(command, args, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  let printed = '';
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no address after 60 s: ${printed}`)), 60_000);
    const hear = (chunk: Buffer) => {
      printed += chunk.toString();
      const address = place.exec(printed);
      if (address === null) return;
      clearTimeout(timer);
      resolve(address[0]);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('error', reject);
    child.on('exit', (code) =>
      reject(new Error(`${command} ${args.join(' ')} ended with ${code}: ${printed}`)),
    );
  }).catch(async (failure: unknown) => {
    await end(child);
    throw failure;
  });
  return { url, printed: () => printed, stop: () => end(child) };
}

/** As Ctrl-C does, and by force only when that isn't heard. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGINT');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(timer);
}

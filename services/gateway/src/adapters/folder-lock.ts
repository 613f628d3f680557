/** One gateway a folder: two on the same store would give the same numbers twice. The lock ends with the process, however it ends. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, realpath, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { codeOf, MeshError } from '@thermomesh/runtime';

export interface FolderLock {
  release(): Promise<void>;
}

/** Pause between two attempts. */
const retryMs = 50;

/** Makes the folder if needed and locks it. @throws MeshError `folder.locked` if another process holds it after `timeoutMs` */
export async function lockFolder(folder: string, timeoutMs: number): Promise<FolderLock> {
  await mkdir(folder, { recursive: true });
  const address = addressOf(await realpath(folder));
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const server = await listen(address);
    if (server !== undefined) return { release: () => close(server) };
    if (Date.now() > deadline) {
      throw new MeshError(
        'folder.locked',
        `another gateway works in ${folder}; give each a folder of its own`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

/** A local socket of a name that follows from the folder: the system frees it when its owner dies. */
function addressOf(folder: string): string {
  const name = `thermomesh-gateway-${createHash('sha256').update(folder).digest('hex').slice(0, 24)}`;
  if (process.platform === 'linux') return `\0${name}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\${name}`;
  return path.join(tmpdir(), `${name}.sock`);
}

/** The listening server; undefined if somebody else listens there. */
async function listen(address: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen(address);
    await once(server, 'listening');
    server.unref();
    return server;
  } catch (error) {
    if (codeOf(error) !== 'EADDRINUSE') throw error;
    // A socket in the file system outlives its owner, but then nobody answers.
    if (path.isAbsolute(address) && !(await answers(address))) await rm(address, { force: true });
    return undefined;
  }
}

async function answers(address: string): Promise<boolean> {
  const socket = connect(address);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    return codeOf(error) !== 'ECONNREFUSED';
  } finally {
    socket.destroy();
  }
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  server.close();
  await once(server, 'close');
}

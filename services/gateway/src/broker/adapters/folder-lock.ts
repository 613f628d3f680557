/**
 * Locks the folder of a gateway: two gateways on the same store would use the same log ids twice.
 * The lock ends with the process, also after a crash.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { realpath, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { codeOf, makeDurableFolder, sleep } from '@thermomesh/runtime';
import { brokerError } from '../core/errors.ts';

/** A lock that this process holds. */
export interface FolderLock {
  release(): Promise<void>;
}

/** Pause between two attempts to lock. */
const retryMs = 50;

/**
 * Makes the folder if it is missing, and locks it.
 * @throws MeshError `folder.locked` if another process holds it after `timeoutMs`
 */
export async function lockFolder(folder: string, timeoutMs: number): Promise<FolderLock> {
  makeDurableFolder(folder);
  const address = addressOf(await realpath(folder));
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const server = await listen(address);
    if (server !== undefined) return { release: () => close(server) };
    if (Date.now() > deadline) {
      throw brokerError(
        'folder.locked',
        `another gateway uses ${folder}; give each gateway a folder of its own`,
      );
    }
    await sleep(retryMs);
  }
}

/**
 * The address of a local socket whose name is derived from the folder. The system frees it when its
 * owner dies.
 */
function addressOf(folder: string): string {
  const name = `thermomesh-gateway-${createHash('sha256').update(folder).digest('hex').slice(0, 24)}`;
  if (process.platform === 'linux') return `\0${name}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\${name}`;
  return path.join(tmpdir(), `${name}.sock`);
}

/** The listening server; undefined if another process listens at `address`. */
async function listen(address: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen(address);
    await once(server, 'listening');
    server.unref();
    return server;
  } catch (error) {
    if (codeOf(error) !== 'EADDRINUSE') throw error;
    // A socket in the file system outlives its owner, but then no process answers.
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

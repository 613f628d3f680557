/** A server that was restored from a backup. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startZooKeeper, type Member, type ZooKeeperServer } from '@thermomesh/servers';
import { testServers } from './clients.ts';

export interface OlderServer {
  host: string;
  /** The number of clients that it has refused because they have seen more than it has. */
  refusals(): number;
  remove(): Promise<void>;
}

/**
 * Starts a server alone with the data that `member` has on disk now; it gets no later write.
 * `member` is restarted.
 */
export async function olderServer(member: Member<ZooKeeperServer>): Promise<OlderServer> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-zk-older-'));
  const dataDir = path.join(folder, 'zk');
  await member.kill();
  cpSync(member.server.dataDir, dataDir, { recursive: true });
  await member.restart();
  const server = await startZooKeeper({
    ...testServers,
    dataDir,
    endWithParent: true,
    scratchFolder: folder,
  });
  return {
    host: server.host,
    refusals: () => readFileSync(server.logFile, 'utf8').split('Refusing session').length - 1,
    async remove() {
      await server.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

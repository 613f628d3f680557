/** Asks a ZooKeeper server for its state, with its four-letter words. */
import { connect } from 'node:net';

/** The answer to `srvr`. */
export interface ZooKeeperState {
  mode: 'leader' | 'follower' | 'observer' | 'standalone';
  /** The last transaction, in hexadecimal, in the notation of the server. */
  zxid: string;
  znodes: number;
  connections: number;
}

/**
 * Sends one four-letter word.
 * @returns the whole answer; undefined if no server listens or no answer comes in time
 */
export async function fourLetterWord(
  port: number,
  word: 'srvr' | 'ruok' | 'mntr' | 'stat' | 'cons',
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    let ended = false;
    socket.setTimeout(timeoutMs, () => socket.destroy());
    // A broken connection counts as no answer; 'close' follows.
    socket.once('error', () => undefined);
    socket.once('connect', () => socket.write(word));
    socket.on('data', (bytes) => (text += bytes.toString()));
    socket.once('end', () => (ended = true));
    socket.once('close', () => resolve(ended && text !== '' ? text : undefined));
  });
}

/**
 * The state of a server that serves clients; undefined if it is dead, frozen or without a quorum.
 */
export async function probeZooKeeper(port: number, timeoutMs: number): Promise<ZooKeeperState | undefined> {
  return parseSrvr((await fourLetterWord(port, 'srvr', timeoutMs)) ?? '');
}

/** Parses the answer to `srvr`; undefined if the server does not serve clients. */
export function parseSrvr(text: string): ZooKeeperState | undefined {
  const field = (name: string) => new RegExp(`^${name}: (.+)$`, 'm').exec(text)?.[1];
  const mode = field('Mode');
  const zxid = field('Zxid');
  if (mode === undefined || zxid === undefined) return undefined;
  return {
    mode: mode as ZooKeeperState['mode'],
    zxid,
    znodes: Number(field('Node count')),
    connections: Number(field('Connections')),
  };
}

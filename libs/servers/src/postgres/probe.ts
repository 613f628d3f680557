/** Asks a server whether it accepts connections; it does not log in, like `pg_isready`. */
import { connect } from 'node:net';

/**
 * `accepting`, `starting` (also: shutting down, in recovery) or `silent` (no server listens, or no
 * answer comes in time).
 */
export type ProbeAnswer = 'accepting' | 'starting' | 'silent';

/**
 * Sends a StartupMessage (protocol 3.0) and reads the first byte of the answer. `R` requests
 * authentication. `E` is an error: the server is not up yet (SQLSTATE 57P03) or has no connection
 * left (53300).
 */
export async function probePostgres(port: number, timeoutMs: number): Promise<ProbeAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (answer: ProbeAnswer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => finish('silent'));
    socket.once('error', () => finish('silent'));
    socket.once('close', () => finish('silent'));
    socket.once('connect', () => socket.write(startupMessage()));
    socket.once('data', (bytes) => finish(answerOf(bytes)));
  });
}

function answerOf(bytes: Buffer): ProbeAnswer {
  if (bytes[0] === 0x52) return 'accepting';
  return bytes.includes('C53300\0') ? 'accepting' : 'starting';
}

function startupMessage(): Buffer {
  const parameters = Buffer.from('user\0probe\0database\0postgres\0\0');
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + parameters.length, 0);
  head.writeInt32BE(196_608, 4);
  return Buffer.concat([head, parameters]);
}

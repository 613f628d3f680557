/** Asks a Redis server whether it is ready, in its own protocol (RESP 2). */
import { connect } from 'node:net';

/**
 * `ready`, `loading` (the server reads its log) or `silent` (no server listens, no answer comes in
 * time, or the password is wrong).
 */
export type RedisAnswer = 'ready' | 'loading' | 'silent';

/** Logs in if a password is given, and sends PING. */
export async function probeRedis(
  port: number,
  password: string | undefined,
  timeoutMs: number,
): Promise<RedisAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    const finish = (answer: RedisAnswer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => finish('silent'));
    socket.once('error', () => finish('silent'));
    socket.once('close', () => finish('silent'));
    socket.once('connect', () => {
      if (password !== undefined) socket.write(command('AUTH', password));
      socket.write(command('PING'));
    });
    socket.on('data', (bytes) => {
      text += bytes.toString();
      if (text.includes('+PONG\r\n')) finish('ready');
      else if (text.includes('-LOADING')) finish('loading');
      else if (/^-[^\r]*\r\n/m.test(text)) finish('silent');
    });
  });
}

function command(...args: string[]): string {
  const parts = args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`);
  return `*${args.length}\r\n${parts.join('')}`;
}

/** Asks a Redis server whether it answers, with the protocol's own words (RESP 2). */
import { connect } from 'node:net';

/** `ready`, `loading` (it reads its log) or `silent` (nobody listens, no answer in time, or a wrong password). */
export type RedisAnswer = 'ready' | 'loading' | 'silent';

/** Logs in if there is a password, and sends PING. */
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

function command(...words: string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join('')}`;
}

/** Charges at the card processor as billing does: over `node:http`, with kept connections. */
import http from 'node:http';

export interface Charge {
  id: string;
  status: 'charged' | 'declined';
  reason: string | null;
}

/** Makes one charge. @throws Error for everything but a 201 */
export type Charger = (
  key: string,
  order: { amountMinor: number; currency: string; paymentToken: string },
) => Promise<Charge>;

export function createCharger(url: string, token: string): Charger {
  const agent = new http.Agent({ keepAlive: true });
  return async (key, { amountMinor, currency, paymentToken }) => {
    const { promise, resolve, reject } = Promise.withResolvers<Charge>();
    const body = JSON.stringify({ amountMinor, currency, paymentToken });
    const call = http.request(`${url}/v1/charges`, {
      agent,
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'idempotency-key': key,
        'content-length': Buffer.byteLength(body),
      },
    });
    call.on('error', reject);
    call.once('response', (response) => {
      readJson(response).then((value) => {
        if (response.statusCode === 201) resolve(value as Charge);
        else reject(new Error(`the processor answered ${response.statusCode}`));
      }, reject);
    });
    call.end(body);
    return promise;
  };
}

async function readJson(response: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

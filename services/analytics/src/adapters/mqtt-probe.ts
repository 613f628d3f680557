/**
 * Checks whether the gateway answers, on a connection of its own. A TCP handshake alone proves
 * little: a kernel or a middlebox completes it even if no data passes any more.
 */
import { nodeUsername } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { connectMqtt, type MqttAddress, type MqttConnection } from './mqtt-connection.ts';

/** A probe of the gateway. */
export interface MqttProbe {
  /** Sends PINGREQ and waits for PINGRESP. Rejects if there is none within `timeoutMs`. */
  ask(timeoutMs: number): Promise<void>;
  close(): void;
}

/**
 * The probes come more often than any keepalive, so this only lets the broker notice that a node is
 * gone.
 */
const keepaliveSeconds = 60;

/** The probe's connection. */
type ProbeState = { state: 'idle' } | { state: 'open'; connection: MqttConnection } | { state: 'closed' };

/** Creates a probe; it connects with the first `ask`. */
export function createMqttProbe(address: MqttAddress, nodeId: number, secret: string): MqttProbe {
  let current: ProbeState = { state: 'idle' };

  async function open(timeoutMs: number): Promise<MqttConnection> {
    const { connection } = await connectMqtt({
      ...address,
      clientId: `node-${nodeId}-probe`,
      username: nodeUsername(nodeId),
      password: deriveToken(secret, subjects.node(nodeId)),
      clean: true,
      keepaliveSeconds,
      timeoutMs,
    });
    void connection.closed.then(() => forget(connection));
    return connection;
  }

  function forget(connection: MqttConnection): void {
    if (current.state === 'open' && current.connection === connection) current = { state: 'idle' };
  }

  /** Opens the connection if there is none; undefined if the probe was closed. */
  async function connected(timeoutMs: number): Promise<MqttConnection | undefined> {
    switch (current.state) {
      case 'open':
        return current.connection;
      case 'closed':
        return undefined;
      case 'idle':
        return keep(await open(timeoutMs));
    }
  }

  function keep(connection: MqttConnection): MqttConnection | undefined {
    switch (current.state) {
      case 'idle':
      case 'open':
        current = { state: 'open', connection };
        return connection;
      case 'closed':
        connection.end();
        return undefined;
    }
  }

  async function ask(timeoutMs: number): Promise<void> {
    const asked = await connected(timeoutMs);
    if (asked === undefined) return;
    try {
      const answer = asked.expect('pingresp', timeoutMs);
      asked.send({ cmd: 'pingreq' });
      await answer;
    } catch (error) {
      asked.destroy();
      forget(asked);
      throw error;
    }
  }

  return {
    ask,
    close: () => {
      if (current.state === 'open') current.connection.end();
      current = { state: 'closed' };
    },
  };
}

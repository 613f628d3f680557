/**
 * A device's connection by mqtt.js. Each connection is a client of its own with a clean session and no reconnect of the
 * library's: what is unacknowledged is kept and sent again by the device itself, which must do so over restarts anyhow, and
 * (deviceId, seq) makes a repetition harmless (I1).
 */
import mqtt, { type MqttClient } from 'mqtt';

const keepaliveSeconds = 30;
const connectTimeoutMs = 10_000;

export interface MqttLinkOptions {
  host: string;
  port: number;
  clientId: string;
  password: string;
}

export interface MqttLinkHandlers {
  onUp(): void;
  /** Called once for each `open`. */
  onDown(reason: string): void;
}

export class MqttLink {
  readonly #options: MqttLinkOptions;
  readonly #handlers: MqttLinkHandlers;
  #client: MqttClient | undefined;

  constructor(options: MqttLinkOptions, handlers: MqttLinkHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  get up(): boolean {
    return this.#client?.connected ?? false;
  }

  open(): void {
    const { host, port, clientId, password } = this.#options;
    const client = mqtt.connect({
      ...{ protocol: 'mqtt', host, port, clientId, username: clientId, password },
      clean: true,
      reconnectPeriod: 0,
      connectTimeout: connectTimeoutMs,
      keepalive: keepaliveSeconds,
    });
    this.#client = client;
    let reason = 'closed by the broker';
    client.on('connect', () => this.#handlers.onUp());
    client.on('error', (error) => {
      reason = error.message;
      // A refused CONNECT leaves the socket to the client.
      client.end(true);
    });
    client.on('close', () => {
      if (this.#client !== client) return;
      this.#client = undefined;
      client.end(true);
      this.#handlers.onDown(reason);
    });
  }

  /** QoS 1. `onAck` is called when the broker has taken the message over, and never if the connection ends before. */
  publish(topic: string, payload: string, onAck: () => void): void {
    this.#client?.publish(topic, payload, { qos: 1 }, (error) => {
      if (error === undefined || error === null) onAck();
    });
  }

  /** Cuts the connection without a word. */
  cut(): void {
    this.#client?.end(true);
  }

  /** Says DISCONNECT and closes. */
  async end(): Promise<void> {
    const client = this.#client;
    if (client === undefined) return;
    this.#client = undefined;
    await client.endAsync(!client.connected);
  }
}

/**
 * A device's connection by mqtt.js. Each connection is a new client with a clean session, and the
 * library does not reconnect. The device itself keeps unacknowledged readings and sends them again,
 * because it must do so after a restart anyway; (deviceId, seq) makes a repetition harmless (I1).
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
  /** The broker has accepted the connection. */
  onUp(): void;
  /** The connection ended or was not made. Called once per `open`. */
  onDown(reason: string): void;
}

/** Opens one connection at a time. */
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
      protocol: 'mqtt',
      host,
      port,
      clientId,
      username: clientId,
      password,
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
      // After a refused CONNECT the client must close the socket.
      client.end(true);
    });
    client.on('close', () => {
      if (this.#client !== client) return;
      this.#client = undefined;
      client.end(true);
      this.#handlers.onDown(reason);
    });
  }

  /**
   * Publishes at QoS 1. `onAck` is called when the broker has acknowledged the message; it is not
   * called if the connection ends before.
   */
  publish(topic: string, payload: string, onAck: () => void): void {
    this.#client?.publish(topic, payload, { qos: 1 }, (error) => {
      if (error === undefined || error === null) onAck();
    });
  }

  /** Closes the connection without DISCONNECT. */
  cut(): void {
    this.#client?.end(true);
  }

  /** Sends DISCONNECT and closes the connection. */
  async end(): Promise<void> {
    const client = this.#client;
    if (client === undefined) return;
    this.#client = undefined;
    await client.endAsync(!client.connected);
  }
}

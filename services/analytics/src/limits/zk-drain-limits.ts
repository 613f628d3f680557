/**
 * Follows the document of drain limits in ZooKeeper. The node does not wait for it: without
 * ZooKeeper the static limits apply.
 */
import {
  drainLimitsPath,
  type DrainLimits,
  type DrainLimitsDocument,
  type DrainLimitsView,
} from '@thermomesh/contracts';
import { messageOf } from '@thermomesh/runtime';
import { DynamicConfig, guardDocument, type ZooKeeper } from '@thermomesh/zookeeper';
import { analyticsError } from '../core/errors.ts';
import type { DrainLimitsSource } from '../core/ports.ts';
import { checkDrainLimits, mergeDrainLimits, type DrainLimitsFrame } from './core/rules.ts';

/** The content of a new document: it sets nothing, so the static limits apply. */
const content = Buffer.from('{}');

export interface FollowOptions {
  /** The node's client; its owner starts and closes it. */
  zk: ZooKeeper;
  /** The ZooKeeper node below which the group keeps everything. */
  path: string;
  /** The operator's `user:password`. Only the operator may write the document. */
  adminSecret: string;
  /**
   * Creates a client that has the operator's secret; it is not started. It guards the document and
   * is closed again. The node's own session writes nothing.
   */
  asAdmin: () => ZooKeeper;
  /** The static limits. They apply until a document is published, and where it names none. */
  initial: DrainLimits;
  frame: DrainLimitsFrame;
  onChanged: (view: DrainLimitsView) => void;
  /** Called when a document was refused; the limits stay as they were. */
  onRefused: (reason: string) => void;
  /** Called when the document could not be guarded. */
  onFailed: (error: unknown) => void;
}

/** Creates a source that follows the published document; it is not started. */
export function followDrainLimits(options: FollowOptions): DrainLimitsSource {
  return new PublishedDrainLimits(options);
}

class PublishedDrainLimits implements DrainLimitsSource {
  readonly #options: FollowOptions;
  readonly #path: string;
  readonly #config: DynamicConfig<DrainLimitsDocument>;
  /** Computed when the document changes, not for each batch. */
  #limits: DrainLimits;
  #refused: string | null = null;
  #guarding: ZooKeeper | undefined;
  #begun: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: FollowOptions) {
    const { zk, initial, frame } = options;
    this.#options = options;
    this.#path = drainLimitsPath(options.path);
    this.#limits = initial;
    this.#config = new DynamicConfig<DrainLimitsDocument>(zk, {
      path: this.#path,
      parse: (document) => checkDrainLimits(document, initial, frame),
      initial: {},
      onRejected: (error) => {
        this.#refused = messageOf(error);
        options.onRefused(this.#refused);
      },
    });
    this.#config.onChange(({ value, version }) => {
      this.#limits = mergeDrainLimits(initial, value);
      this.#refused = null;
      options.onChanged(this.view());
      // The operator has removed the document. Guard its place, so that no other client creates it.
      if (version === undefined) void this.#guard();
    });
  }

  view(): DrainLimitsView {
    const { version } = this.#config.current;
    return {
      limits: this.#limits,
      source: version === undefined ? 'static' : 'zookeeper',
      version: version ?? null,
      fresh: this.#config.fresh,
      refused: this.#refused,
    };
  }

  start(): void {
    this.#begun ??= this.#begin();
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  /** Guards first: the node follows no document that another client could have written. */
  async #begin(): Promise<void> {
    if ((await this.#guard()) && this.#stopped === undefined) this.#config.start();
  }

  /** Returns true if only the operator can have written the document. */
  async #guard(): Promise<boolean> {
    if (this.#stopped !== undefined) return false;
    const admin = this.#options.asAdmin();
    this.#guarding = admin;
    try {
      admin.start();
      const guarded = { path: this.#path, adminSecret: this.#options.adminSecret, content };
      if (await admin.retry(async () => guardDocument(admin, guarded))) return true;
      throw analyticsError(
        'drain.limits_unguarded',
        `${this.#path} is not the operator's: other clients may write there, so this node does not follow it`,
      );
    } catch (error) {
      if (this.#stopped === undefined) this.#options.onFailed(error);
      return false;
    } finally {
      await admin.close();
    }
  }

  async #stop(): Promise<void> {
    await this.#guarding?.close();
    await this.#begun;
    await this.#config.close();
  }
}

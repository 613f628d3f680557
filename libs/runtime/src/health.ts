/** Readiness of one process. */

export interface Readiness {
  ready: boolean;
  /** For each part that is not ready, the reason; empty when all parts are ready. */
  reasons: Record<string, string>;
}

/** Collects the readiness of the parts of a process. */
export interface Health {
  /**
   * Adds a part. `check` returns undefined when the part is ready, else the reason why it is not.
   */
  add(part: string, check: () => string | undefined): void;
  readiness(): Readiness;
  /** Makes readiness false permanently: the first step of a shutdown. */
  close(): void;
}

export function createHealth(): Health {
  const checks = new Map<string, () => string | undefined>();
  let closing = false;
  return {
    add: (part, check) => void checks.set(part, check),
    close: () => {
      closing = true;
    },
    readiness() {
      const reasons: Record<string, string> = closing ? { process: 'stopping' } : {};
      for (const [part, check] of checks) {
        const reason = check();
        if (reason !== undefined) reasons[part] = reason;
      }
      return { ready: Object.keys(reasons).length === 0, reasons };
    },
  };
}

/** Liveness and readiness of one process. */

export interface Readiness {
  ready: boolean;
  /** Why not, by part; empty when ready. */
  reasons: Record<string, string>;
}

/** Collects the answers of a process's parts. */
export interface Health {
  /** Adds a part; it says undefined when it is ready, else why it is not. */
  add(part: string, check: () => string | undefined): void;
  readiness(): Readiness;
  /** Makes readiness false for good: the first step of a stop. */
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

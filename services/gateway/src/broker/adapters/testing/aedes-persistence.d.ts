declare module 'aedes-persistence/abstract.js' {
  /** Registers the tests that every persistence of Aedes must pass. */
  export default function abstractPersistence(options: {
    test: (title: string, body: (t: unknown) => Promise<void>) => void;
    testAsync: boolean;
    persistence: () => Promise<object>;
  }): void;
}

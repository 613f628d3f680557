/** The settings of the card processor. No other file of the program reads the environment. */
import { ms, port, processSettings, readConfig, secret } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';

const Settings = Type.Object({
  ...processSettings,
  DATA_DIR: Type.String({ minLength: 1, description: 'Folder of the ledger file charges.log.' }),
  PROCESSOR_SECRET: secret('Secret shared with billing, from which the bearer token is derived.'),
  HTTP_PORT: port(8090, 'TCP port of HTTP; 0 takes a free one.'),
  FAULT_SEED: Type.Integer({ default: 1, description: 'Seed of the faults that are injected by rate.' }),
  STOP_TIMEOUT_MS: ms(5_000, 'Maximum duration of a graceful shutdown.'),
});

export type Config = Static<typeof Settings>;

/** Reads and checks all settings. @throws MeshError `config.invalid` that lists every issue */
export function readProcessorConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return readConfig(Settings, env);
}

/** The settings as options of the parts of the processor. */
export interface ProcessorSettings {
  dataDir: string;
  secret: string;
  faultSeed: number;
  http: { host: string; port: number };
}

/** Groups the settings by the part of the processor that uses them. */
export function settingsOf(config: Config): ProcessorSettings {
  return {
    dataDir: config.DATA_DIR,
    secret: config.PROCESSOR_SECRET,
    faultSeed: config.FAULT_SEED,
    http: { host: config.HTTP_HOST, port: config.HTTP_PORT },
  };
}

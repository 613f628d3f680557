/** The settings of the process that holds the links; the only reader of its environment. */
import type { LinkSpec } from '@thermomesh/links';
import { MeshError, messageOf, readConfig, secretCharsMin } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { Check } from 'typebox/value';

const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
const LinkSpecs = Type.Array(
  Type.Object({
    name: Type.String(),
    port: Port,
    target: Type.Object({ host: Type.String(), port: Port }),
  }),
);

const Settings = Type.Object({
  MESH_SECRET: Type.String({ minLength: secretCharsMin }),
  HTTP_HOST: Type.String({ default: '127.0.0.1' }),
  HTTP_PORT: Type.Integer({ minimum: 0, maximum: 65_535, description: 'the control surface' }),
  LINKS: Type.String({ description: 'JSON: [{name, port, target: {host, port}}]' }),
  LOG_LEVEL: Type.String({ default: 'info' }),
  STOP_TIMEOUT_MS: Type.Integer({ default: 5_000, minimum: 1 }),
});

export interface LinksConfig extends Static<typeof Settings> {
  links: LinkSpec[];
}

/** @throws MeshError `config.invalid` */
export function readLinksConfig(env: NodeJS.ProcessEnv = process.env): LinksConfig {
  const raw = readConfig(Settings, env);
  return { ...raw, links: parseLinks(raw.LINKS) };
}

function parseLinks(text: string): LinkSpec[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new MeshError('config.invalid', `LINKS is no JSON: ${messageOf(error)}`);
  }
  if (!Check(LinkSpecs, value)) throw new MeshError('config.invalid', 'LINKS is no list of links');
  return value;
}

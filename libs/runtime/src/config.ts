/** Configuration from environment variables: a schema, defaults, and all faults reported at once. */
import { existsSync, readFileSync } from 'node:fs';
import envSchema, { type JSONSchemaType } from 'env-schema';
import type { Static, TObject } from 'typebox';
import { MeshError, messageOf } from './errors.ts';

/** Says in words what is wrong between two or more settings; an empty list means nothing is. */
export type CheckRelations<T> = (config: T) => string[];

/**
 * Reads the settings of one process.
 * @param schema a TypeBox object; names are the environment variables, `description` documents them
 * @param env usually `process.env`, handed in by the process's `config.ts`, which alone reads it
 * @param relations faults between settings (a timeout below another, say), reported with the rest
 * @throws MeshError `config.invalid` that lists every fault, one a line
 */
export function readConfig<S extends TObject>(
  schema: S,
  env: NodeJS.ProcessEnv,
  relations: CheckRelations<Static<S>> = () => [],
): Static<S> {
  const faults: string[] = [];
  const data = withSecretsFromFiles(schema, env, faults);
  let config: Static<S> | undefined;
  try {
    config = envSchema<Static<S>>({
      schema: schema as unknown as JSONSchemaType<Static<S>>,
      data,
      dotenv: false,
      env: false,
    });
  } catch (error) {
    faults.push(...faultsOf(error));
  }
  if (config !== undefined) faults.push(...relations(config));
  if (config === undefined || faults.length > 0) {
    throw new MeshError(
      'config.invalid',
      `configuration has ${faults.length} fault(s):\n  ${faults.join('\n  ')}`,
    );
  }
  return config;
}

/** `X_FILE` names a file that holds the value of `X` (secrets as files, as containers hand them over). */
function withSecretsFromFiles(
  schema: TObject,
  env: NodeJS.ProcessEnv,
  faults: string[],
): Record<string, string> {
  const data: Record<string, string> = {};
  for (const name of Object.keys(schema.properties)) {
    const value = env[name];
    const file = env[`${name}_FILE`];
    // An empty variable is one that is not set: compose files and shells cannot tell the two apart.
    if (value !== undefined && value !== '') data[name] = value;
    else if (file !== undefined && file !== '' && !Object.hasOwn(schema.properties, `${name}_FILE`)) {
      if (existsSync(file)) data[name] = readFileSync(file, 'utf8').trim();
      else faults.push(`${name}_FILE names ${file}, which does not exist`);
    }
  }
  return data;
}

interface AjvFault {
  instancePath?: string;
  message?: string;
  params?: { missingProperty?: string };
}

function faultsOf(error: unknown): string[] {
  const list = (error as { errors?: AjvFault[] }).errors;
  if (!Array.isArray(list) || list.length === 0) return [messageOf(error)];
  return list.map((fault) => {
    if (fault.params?.missingProperty !== undefined) return `${fault.params.missingProperty} is required`;
    return `${(fault.instancePath ?? '').slice(1) || 'configuration'} ${fault.message ?? 'is invalid'}`;
  });
}

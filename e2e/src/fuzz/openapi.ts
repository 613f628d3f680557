/** Reads what a service says of itself in `/openapi.json`. */

/** A JSON schema, as far as the generator looks at it. */
export interface JsonSchema {
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  default?: unknown;
}

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required: boolean;
  schema: JsonSchema;
}

/** One method of one route. */
export interface Operation {
  method: string;
  /** The path, with `{name}` for each path parameter. */
  path: string;
  parameters: Parameter[];
  /** Content type and schema of the body; undefined if the operation takes none. */
  body: { type: string; schema: JsonSchema } | undefined;
}

interface Document {
  paths: Record<
    string,
    Record<
      string,
      {
        parameters?: { name: string; in: string; required?: boolean; schema?: JsonSchema }[];
        requestBody?: { content: Record<string, { schema?: JsonSchema }> };
      }
    >
  >;
}

/** Every operation of the service at `url`. */
export async function readOperations(url: string): Promise<Operation[]> {
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as Document;
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const [content] = Object.entries(operation.requestBody?.content ?? {});
      return {
        method: method.toUpperCase(),
        path,
        parameters: (operation.parameters ?? []).map(({ name, in: place, required, schema }) => ({
          name,
          in: place as Parameter['in'],
          required: required ?? false,
          schema: schema ?? {},
        })),
        body: content === undefined ? undefined : { type: content[0], schema: content[1].schema ?? {} },
      };
    }),
  );
}

/**
 * The OpenAPI documents of the services behind the gateway. A test of each service writes its
 * document (`npm run openapi` writes all again); the gateway takes its routes from them.
 */
import analytics from './analytics.json' with { type: 'json' };
import equalizer from './equalizer.json' with { type: 'json' };

/** One method of one path, as far as the gateway looks at it. */
export interface OpenApiOperation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  parameters?: OpenApiParameter[];
  requestBody?: OpenApiBody;
  responses?: Record<string, OpenApiResponse>;
  /** For each scheme the scopes that the caller needs. Empty: public. */
  security?: Record<string, string[]>[];
}

export interface OpenApiParameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: object;
  example?: unknown;
}

export interface OpenApiMedia {
  schema?: object;
  example?: unknown;
  examples?: Record<string, { summary?: string; value: unknown }>;
}

export interface OpenApiBody {
  required?: boolean;
  description?: string;
  content: Record<string, OpenApiMedia>;
}

export interface OpenApiResponse {
  description: string;
  headers?: Record<string, object>;
  content?: Record<string, OpenApiMedia>;
}

/** An OpenAPI 3.1 document. */
export interface OpenApiDocument {
  openapi: string;
  info: { title: string; version: string; description?: string };
  paths: Record<string, Record<string, OpenApiOperation>>;
  components?: Record<string, Record<string, object>>;
  tags?: { name: string; description?: string }[];
  security?: Record<string, string[]>[];
}

/** The routes of an analytics node. */
export const analyticsDocument = analytics as unknown as OpenApiDocument;
/** The routes of an equalizer node. */
export const equalizerDocument = equalizer as unknown as OpenApiDocument;

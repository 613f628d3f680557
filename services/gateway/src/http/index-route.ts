/** `GET /`: where things are, as HTML for people and JSON for programs. */
import type { HttpApp, HttpReply, HttpRequest } from '@thermomesh/runtime';
import type { OpenApiDocument } from '@thermomesh/contracts/openapi';
import { operationsOf } from './openapi/document.ts';

export interface IndexRouteDeps {
  /** TCP port of MQTT; 0 until the gateway listens there. */
  mqttPort: () => number;
}

/** The document of `GET /`. */
interface IndexDocument {
  name: string;
  links: Record<string, string>;
  mqtt: { port: number; protocol: string };
  routes: { method: string; path: string; summary: string; scope: string | null }[];
}

/** Adds the route. */
export function indexRoute(app: HttpApp, deps: IndexRouteDeps): void {
  app.get(
    '/',
    { config: { access: 'public' }, schema: { hide: true } },
    async (request: HttpRequest, reply: HttpReply) => {
      const hasErrors = app.hasRoute({ method: 'GET', url: '/errors' });
      const document = indexOf(app.swagger() as unknown as OpenApiDocument, deps.mqttPort(), hasErrors);
      void reply.header('vary', 'accept');
      if (!prefersHtml(request.headers.accept)) return document;
      return reply
        .type('text/html; charset=utf-8')
        .header('content-security-policy', "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
        .header('x-content-type-options', 'nosniff')
        .send(pageOf(document));
    },
  );
}

function indexOf(document: OpenApiDocument, mqttPort: number, hasErrors: boolean): IndexDocument {
  return {
    name: document.info.title,
    links: {
      openapi: '/openapi.json',
      ...(hasErrors ? { errors: '/errors' } : {}),
      ready: '/readyz',
      live: '/livez',
      metrics: '/metrics',
    },
    mqtt: { port: mqttPort, protocol: 'MQTT 3.1.1' },
    routes: operationsOf(document).map(({ method, path, operation }) => ({
      method,
      path,
      summary: operation.summary ?? '',
      scope: operation.security?.[0]?.['key']?.[0] ?? null,
    })),
  };
}

/** True if the header Accept names HTML before JSON; a caller that names neither gets JSON. */
export function prefersHtml(accept: string | undefined): boolean {
  const quality = (type: string) => {
    const part = (accept ?? '').split(',').find((each) => each.trim().toLowerCase().startsWith(type));
    if (part === undefined) return 0;
    const q = /;\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)/i.exec(part)?.[1];
    return q === undefined ? 1 : Number(q);
  };
  const html = quality('text/html');
  return html > 0 && html >= quality('application/json');
}

function pageOf({ name, links, mqtt, routes }: IndexDocument): string {
  const link = (href: string, text: string) => `<a href="${escape(href)}">${escape(text)}</a>`;
  const items = Object.entries(links).map(([label, href]) => `<li>${label}: ${link(href, href)}</li>`);
  const rows = routes.map(
    ({ method, path, summary, scope }) =>
      `<tr><td>${method}</td><td><code>${escape(path)}</code></td><td>${escape(summary)}</td><td>${escape(scope ?? '')}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escape(name)}</title></head>
<body>
<h1>${escape(name)}</h1>
<ul>
${items.join('\n')}
<li>MQTT: port ${mqtt.port} (${mqtt.protocol})</li>
</ul>
<p>Routes with a scope need <code>Authorization: Bearer &lt;key&gt;</code>; <code>npx mesh api-key create</code>
makes a key. The README and <code>docs/</code> of the source explain the rest.</p>
<table>
<tr><th>method</th><th>path</th><th>what it does</th><th>scope</th></tr>
${rows.join('\n')}
</table>
</body>
</html>
`;
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

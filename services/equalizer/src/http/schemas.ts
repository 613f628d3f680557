/** What the routes of image jobs take and send beside JSON, as their document shows it. */
import { ImageJob } from '@thermomesh/contracts';
import { definitions, modes } from '@thermomesh/equalization';
import Type from 'typebox';
import { imageFormats } from '../image/index.ts';

const oneOf = (values: readonly string[], description: string) =>
  Type.Optional(Type.String({ enum: [...values], description }));

/** The parts of `POST /v1/jobs`. Fields before the file are checked before the file is uploaded. */
export const JobForm = Type.Object(
  {
    mode: oneOf(
      [...modes, 'clahe'],
      'What is equalized. `clahe` takes 8 bit and is outside the exactness claim. Default: `luminance` for colour, else `grey`.',
    ),
    definition: oneOf(
      definitions,
      'Whose arithmetic; not with `clahe`. Default: `opencv` at 8 bit, `textbook` at 16.',
    ),
    format: oneOf(imageFormats, 'Format of the result. Default: that of the image.'),
    page: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 999_999,
        description: 'Page of a TIFF, from 0. Default: the first.',
      }),
    ),
    quality: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: 'Quality of a JPEG result. Default: 92.' }),
    ),
    file: Type.String({
      contentMediaType: 'application/octet-stream',
      description: 'The image: JPEG, PNG, WebP or TIFF, with a file name; at most 256 MiB.',
    }),
  },
  { additionalProperties: false },
);

/** Body of `POST /v1/jobs`. The form is read by its own parser, so nothing validates it here. */
export const jobBody = { content: { 'multipart/form-data': { schema: JobForm } } };

export const SubmitHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      description:
        '1–128 visible ASCII characters of your choice: the same key is the same job, at every node.',
    }),
  ),
});

export const EventHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({ description: 'The `id` of the last event that was seen; earlier ones do not come again.' }),
  ),
});

const binary = { schema: Type.String({ contentMediaType: 'application/octet-stream' }) };

/** The 200 of a result: the image in the format of the job. */
export const resultResponse = {
  description: 'The equalized image.',
  content: Object.fromEntries(imageFormats.map((format) => [`image/${format}`, binary])),
};

/** The 200 of an event stream. */
export const eventResponse = {
  description:
    'Server-sent events: each `data` is a job, each `id` grows, and the stream ends after the final state.',
  content: {
    'text/event-stream': {
      schema: Type.String({ contentMediaType: 'application/json', contentSchema: ImageJob }),
    },
  },
};

export const noMoreEvents = { description: 'The final state was seen: do not connect again.', type: 'null' };

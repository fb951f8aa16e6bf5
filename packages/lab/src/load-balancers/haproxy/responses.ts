/** What an application load balancer answers by itself, as AWS's does. */
import { word } from './syntax.ts';

const REASONS = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Time-out',
  413: 'Request Entity Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Temporarily Unavailable',
  504: 'Gateway Time-out',
} as const;

type ErrorStatus = keyof typeof REASONS;

const page = (title: string): string =>
  [
    '<html>',
    `<head><title>${title}</title></head>`,
    '<body>',
    `<center><h1>${title}</h1></center>`,
    '</body>',
    '</html>',
    '',
  ].join('\r\n');

const title = (status: ErrorStatus): string => `${status} ${REASONS[status]}`;
const textOf = (status: ErrorStatus): string => `content-type text/html string ${word(page(title(status)))}`;

/** @param isTold whether the load balancer says what it is. */
const server = (isTold: boolean): string => (isTold ? ' hdr Server awselb/2.0' : '');

/** Answers a request with an error's page. */
export function returnError(status: ErrorStatus, isTold: boolean): string {
  return `http-request return status ${status} ${textOf(status)}${server(isTold)}`;
}

/** Answers a request with a text. */
export function returnText(
  status: string,
  { type, text }: { readonly type: string; readonly text: string },
  isTold: boolean,
): string {
  const body = text === '' ? '' : ` content-type ${word(type)} string ${word(text)}`;
  return `http-request return status ${status}${body}${server(isTold)}`;
}

/** Sends a request elsewhere. @param location a format. */
export function returnRedirect(status: 301 | 302, location: string, isTold: boolean): string {
  const text = status === 301 ? '301 Moved Permanently' : '302 Found';
  const body = `content-type text/html string ${word(page(text))}`;
  return `http-request return status ${status} ${body} hdr Location ${word(location)}${server(isTold)}`;
}

/** In a backend, once it is sure that there is a target to ask. */
export const ASKED = 'http-request set-var(txn.asked) date(0,ms)';

/**
 * In a frontend: the errors that HAProxy finds. It has one for all connections to targets that come to nothing, 503; AWS says
 * 504 when they take too long, else 502.
 * @param connectMs how long a connection may take.
 */
export function errors(isTold: boolean, connectMs: number): string[] {
  const waited = `date(0,ms),sub(txn.asked),div(${connectMs})`;
  const failed = page(`%[${waited},bool,iif("${title(504)}","${title(502)}")]`);
  const own = (['400', '403', '405', '408', '413', '500', '501', '502', '504'] as const).map(
    (status) => `http-error status ${status} ${textOf(Number(status) as ErrorStatus)}${server(isTold)}`,
  );
  const ifFailed = 'if { status 503 } { var(txn.asked) -m found } !{ var(txn.answered) -m found }';
  return [
    ...own,
    `http-error status 503 content-type text/html lf-string ${word(failed)}${server(isTold)}`,
    'http-response set-var(txn.answered) bool(true)',
    `http-after-response set-status 504 reason ${word(REASONS[504])} ${ifFailed} { ${waited} -m int gt 0 }`,
    `http-after-response set-status 502 reason ${word(REASONS[502])} ${ifFailed}`,
  ];
}

/** Cookies by which a load balancer knows its choice again. What is in them is nobody's business, as with AWS's. */
import { word } from './syntax.ts';

/** What a request's cookie has kept, and the condition that it is still to be heeded. */
export function keptOf(cookie: string): { readonly value: string; readonly isValid: string } {
  const fields = `req.cook(${cookie}),ub64dec`;
  return {
    value: `${fields},field(1,|)`,
    isValid: `{ ${fields},field(2,|),sub(txn.now) -m int gt 0 }`,
  };
}

/** Has a cookie of the time, which {@link keptOf} compares with. */
export const NOW = 'http-request set-var(txn.now) date()';

/**
 * Sends a cookie, for requests from the site itself and, under a second name, for those from other sites.
 * @param value a format. @param seconds for which it is to be heeded. @param condition of the response.
 */
export function keep(cookie: string, value: string, seconds: number, condition: string): string[] {
  const variable = `txn.${cookie.replace(/\W/g, '_')}`;
  const content = `%[var(${variable}),ub64enc]; Expires=%[date(${seconds}),http_date]; Path=/`;
  const send = (text: string) => `http-response add-header Set-Cookie ${word(text)} ${condition}`.trimEnd();
  return [
    `http-response set-var-fmt(${variable}) ${word(`${value}|%[date(${seconds})]`)} ${condition}`.trimEnd(),
    send(`${cookie}=${content}`),
    send(`${cookie.replace(/^[A-Z]+/, '$&CORS')}=${content}; SameSite=None; Secure`),
  ];
}

/** Forms of texts (apimachinery `util/validation`). Each function says what is wrong with a text. */
import { BlockList, isIP, isIPv4 } from 'node:net';

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = String.raw`${LABEL}(\.${LABEL})*`;
const LABEL_1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL_VALUE = `(${QUALIFIED})?`;
const CONFIG_KEY = '[-._a-zA-Z0-9]+';
const PERCENT = '[0-9]+%';
/** RFC 1123 and RFC 1035. */
export const LABEL_LENGTH = 63;
const SUBDOMAIN_LENGTH = 253;
const PORT_NAME_LENGTH = 15;

type Form = { readonly regex: RegExp; readonly most: number; readonly detail: string };

function form(pattern: string, most: number, detail: string, ...examples: string[]): Form {
  const list = examples.map((one) => `'${one}', `).join(' or ');
  return {
    regex: new RegExp(`^(?:${pattern})$`),
    most,
    detail: `${detail} (e.g. ${list}regex used for validation is '${pattern}')`,
  };
}

const ENDS = 'and must start and end with an alphanumeric character';

const FORMS = {
  label: form(
    LABEL,
    LABEL_LENGTH,
    `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', ${ENDS}`,
    'my-name',
    '123-abc',
  ),
  subdomain: form(
    SUBDOMAIN,
    SUBDOMAIN_LENGTH,
    `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', ${ENDS}`,
    'example.com',
  ),
  label1035: form(
    LABEL_1035,
    LABEL_LENGTH,
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    'my-name',
    'abc-123',
  ),
  namePart: form(
    QUALIFIED,
    LABEL_LENGTH,
    `name part must consist of alphanumeric characters, '-', '_' or '.', ${ENDS}`,
    'MyName',
    'my.name',
    '123-abc',
  ),
  labelValue: form(
    LABEL_VALUE,
    LABEL_LENGTH,
    `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', ${ENDS}`,
    'MyValue',
    'my_value',
    '12345',
  ),
  configKey: form(
    CONFIG_KEY,
    SUBDOMAIN_LENGTH,
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    'key.name',
    'KEY_NAME',
    'key-name',
  ),
  percent: form(
    PERCENT,
    Number.POSITIVE_INFINITY,
    "a valid percent string must be a numeric string followed by an ending '%'",
    '1%',
    '93%',
  ),
} as const satisfies Record<string, Form>;

function check({ regex, most, detail }: Form, value: string): string[] {
  return [
    ...(value.length > most ? [`must be no more than ${most} bytes`] : []),
    ...(regex.test(value) ? [] : [detail]),
  ];
}

export const dnsLabel = (value: string): string[] => check(FORMS.label, value);
export const dnsSubdomain = (value: string): string[] => check(FORMS.subdomain, value);
export const dns1035Label = (value: string): string[] => check(FORMS.label1035, value);
export const labelValue = (value: string): string[] => check(FORMS.labelValue, value);
export const percent = (value: string): string[] => check(FORMS.percent, value);

export function configKey(value: string): string[] {
  if (value === '.') return ["must not be '.'"];
  if (value.startsWith('..')) return [value === '..' ? "must not be '..'" : "must not start with '..'"];
  return check(FORMS.configKey, value);
}

/** `example.com/name`, as keys of labels are. */
export function qualifiedName(value: string): string[] {
  const parts = value.split('/');
  if (parts.length > 2) {
    const detail = FORMS.namePart.detail.replace('name part', 'a qualified name');
    return [`${detail} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  const name = parts.at(-1)!;
  const prefix = parts.length === 2 ? parts[0]! : undefined;
  const errors: string[] = [];
  if (prefix === '') errors.push('prefix part must be non-empty');
  else if (prefix !== undefined)
    errors.push(...dnsSubdomain(prefix).map((detail) => `prefix part ${detail}`));
  if (name === '') errors.push('name part must be non-empty');
  if (name.length > LABEL_LENGTH) errors.push(`name part must be no more than ${LABEL_LENGTH} bytes`);
  if (!FORMS.namePart.regex.test(name)) errors.push(FORMS.namePart.detail);
  return errors;
}

/** Names that only need to be one segment of a path. */
export function pathSegment(value: string): string[] {
  if (value === '.' || value === '..') return [`may not be '${value}'`];
  return ['/', '%'].filter((char) => value.includes(char)).map((char) => `may not contain '${char}'`);
}

/** Names of ports (RFC 6335). */
export function portName(value: string): string[] {
  const errors: string[] = [];
  if (value.length > PORT_NAME_LENGTH) errors.push(`must be no more than ${PORT_NAME_LENGTH} characters`);
  if (!/^[-a-z0-9]+$/.test(value)) {
    errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  }
  if (!/[a-z]/.test(value)) errors.push('must contain at least one letter (a-z)');
  if (value.includes('--')) errors.push('must not contain consecutive hyphens');
  if (/^-|-$/.test(value)) errors.push('must not begin or end with a hyphen');
  return errors;
}

export function portNumber(value: unknown): string[] {
  return inRange(value, 1, 65535);
}

export function inRange(value: unknown, least: number, most: number): string[] {
  const fits = typeof value === 'number' && value >= least && value <= most;
  return fits ? [] : [`must be between ${least} and ${most}, inclusive`];
}

export const NOT_NEGATIVE = 'must be greater than or equal to 0';

export function ipAddress(value: string): string[] {
  return isIP(value) ? [] : ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'];
}

export function cidr(value: string): string[] {
  return readCidr(value) ? [] : ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'];
}

function readCidr(value: string): { address: string; length: number; family: 'ipv4' | 'ipv6' } | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(value);
  if (!match || !isIP(match[1]!)) return undefined;
  const family = isIPv4(match[1]!) ? 'ipv4' : 'ipv6';
  const length = Number(match[2]);
  return length <= (family === 'ipv4' ? 32 : 128) ? { address: match[1]!, length, family } : undefined;
}

/** Whether a range is part of another, and less than it. */
export function isStrictSubset(inner: string, outer: string): boolean {
  const [small, large] = [readCidr(inner), readCidr(outer)];
  if (!small || !large || small.family !== large.family || small.length <= large.length) return false;
  const list = new BlockList();
  list.addSubnet(large.address, large.length, large.family);
  return list.check(small.address, small.family);
}

/** Names of environment variables. */
export function envName(value: string): string[] {
  return /^[ -<>-~]+$/.test(value)
    ? []
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

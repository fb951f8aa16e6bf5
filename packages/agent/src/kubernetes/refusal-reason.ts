/** What keeps a pod from its address, as the reason of an event: one word to filter and alert by. */
export type RefusalReason =
  | 'SubnetExhausted'
  | 'PrefixFragmentation'
  | 'ENILimit'
  | 'AddressLimit'
  | 'Throttled'
  | 'Denied'
  | 'CoolingDown'
  | 'FailedAssignIP';

/** In order: EC2's own code says more than the state of the pool, and a limit more than what passes by itself. */
const SIGNS: readonly (readonly [RefusalReason, RegExp])[] = [
  ['SubnetExhausted', /\(InsufficientFreeAddressesInSubnet\)/],
  ['PrefixFragmentation', /\(InsufficientCidrBlocks\)|no free \/28 block/],
  ['ENILimit', /\((AttachmentLimitExceeded|NetworkInterfaceLimitExceeded)\)|MAX_ENI allows/],
  ['AddressLimit', /\(PrivateIpAddressLimitExceeded\)| holds \d+ pods/],
  ['Throttled', /\((RequestLimitExceeded|Throttling\w*|EC2ThrottledException)\)/],
  [
    'Denied',
    /\((UnauthorizedOperation|AccessDenied\w*|AuthFailure|InvalidClientTokenId|ExpiredToken|RequestExpired|CredentialsProviderError)\)/,
  ],
  ['CoolingDown', /\d cooling down/],
];

/** @param sentence of a refusal, which quotes the code of the call that failed. */
export function refusalReason(sentence: string): RefusalReason {
  return SIGNS.find(([, sign]) => sign.test(sentence))?.[0] ?? 'FailedAssignIP';
}

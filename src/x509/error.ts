/** A certificate, key file or name that cannot be read or used. Whoever supplied it is at fault, never the reader. */
export class X509Error extends Error {
  override readonly name = "X509Error";
}

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";
import { decodeCertificate, encodeCertificate } from "../../../src/tls/wire/certificate.ts";
import { decodeCertificateRequest } from "../../../src/tls/wire/certificate-request.ts";
import {
  decodeCertificateVerify,
  encodeCertificateVerify,
} from "../../../src/tls/wire/certificate-verify.ts";
import { checkSecondClientHello } from "../../../src/tls/wire/client-hello.ts";
import { decodeEncryptedExtensions } from "../../../src/tls/wire/encrypted-extensions.ts";
import { decodeFinished, encodeFinished } from "../../../src/tls/wire/finished.ts";
import { decodeNewSessionTicket } from "../../../src/tls/wire/new-session-ticket.ts";
import { decodeServerHello, encodeServerHello } from "../../../src/tls/wire/server-hello.ts";
import { Writer } from "../../../src/tls/wire/writer.ts";
import { read, refusal } from "./hello.ts";

interface Trace {
  readonly section: number;
  readonly title: string;
  readonly truncated_client_hello_len?: number;
  readonly records: readonly {
    readonly from: string;
    readonly messages?: readonly { readonly type: string; readonly data: string }[];
  }[];
}

const file = join(import.meta.dirname, "../../fixtures/rfc8448.json");
const { traces } = JSON.parse(readFileSync(file, "utf8")) as { traces: readonly Trace[] };

function messages(trace: Trace, type: string): Uint8Array[] {
  return trace.records.flatMap((record) => record.messages ?? [])
    .filter((message) => message.type === type)
    .map(({ data }) => Uint8Array.from(data.match(/../g)!, (hex) => parseInt(hex, 16)));
}

function written(encode: (w: Writer) => void): Uint8Array {
  const w = new Writer();
  encode(w);
  return w.copy();
}

describe.each(traces.map((trace) => [`RFC 8448 §${trace.section}`, trace] as const))(
  "%s",
  (_, trace) => {
    test("tls13 19: its ClientHello is taken", () => {
      const hello = read(messages(trace, "client_hello")[0]!);
      hello.checkKeyShares();
      expect(hello.serverNameText).toBe("server");
      expect(hello.offersCipherSuite(0x1301)).toBe(true);
      expect(hello.keyShare(0x1d)?.length).toBe(32);
      expect(hello.keyShareCount).toBe(1);
    });

    test("tls13 19: its ServerHello is read, and written as it was", () => {
      const whole = messages(trace, "server_hello")[0]!;
      const hello = decodeServerHello(whole);
      expect(hello.selectedVersion).toBe(0x0304);
      const again = written((w) =>
        encodeServerHello(w, {
          ...hello,
          keyShare: hello.keyShare!,
          selectedIdentity: hello.selectedIdentity,
        })
      );
      // The RFC's server orders its extensions differently: compare what they say, and the length.
      expect(again.length).toBe(whole.length);
      expect({ ...decodeServerHello(again), extensionTypes: [] })
        .toEqual({ ...hello, extensionTypes: [] });
    });

    test("tls13 19: its server flight is read", () => {
      const extensions = decodeEncryptedExtensions(messages(trace, "encrypted_extensions")[0]!);
      expect(extensions.supportedGroups).toContain(0x1d);
      for (const whole of messages(trace, "certificate")) {
        const certificate = decodeCertificate(whole, { maxCertificateEntries: 1 }, {
          ocsp: false,
          sct: false,
        });
        expect(certificate.chain.length).toBe(1);
        expect(
          written((w) =>
            encodeCertificate(w, { ...certificate, ocspResponse: undefined, scts: undefined })
          ),
        ).toEqual(whole);
      }
      for (const whole of messages(trace, "certificate_verify")) {
        const { scheme, signature } = decodeCertificateVerify(whole);
        expect(written((w) => encodeCertificateVerify(w, scheme, signature))).toEqual(whole);
      }
      for (const whole of messages(trace, "finished")) {
        expect(written((w) => encodeFinished(w, decodeFinished(whole)))).toEqual(whole);
      }
    });
  },
);

test("tls13 19: the ticket of RFC 8448 §3", () => {
  const [ticket] = messages(traces[0]!, "new_session_ticket");
  expect(decodeNewSessionTicket(ticket!)).toMatchObject({
    lifetimeSeconds: 30,
    ageAdd: 0xfad6aac5,
    nonce: new Uint8Array([0, 0]),
    maxEarlyDataSize: 1024,
  });
});

test("tls13 19: the binder of RFC 8448 §4 is cut at byte 477 of 512", () => {
  const trace = traces[1]!;
  const hello = read(messages(trace, "client_hello")[0]!);
  expect(hello.bindersAt).toBe(477);
  expect(hello.bytes.length).toBe(512);
  expect(hello.pskCount).toBe(1);
  expect(hello.pskBinder(0).length).toBe(32);
  expect(hello.offersEarlyData).toBe(true);
});

test("tls13 19: the retry of RFC 8448 §5, whose cookie is not ours", () => {
  const trace = traces[2]!;
  const retry = decodeServerHello(messages(trace, "hello_retry_request")[0]!);
  expect(retry.isRetry).toBe(true);
  expect(retry.keyShare?.group).toBe(0x17);
  expect(retry.cookie?.length).toBe(114);
  const [first, second] = messages(trace, "client_hello").map(read);
  expect(second!.keyShare(0x17)?.length).toBe(65);
  expect(refusal(() => checkSecondClientHello(first!, second!, 0x17)))
    .toBe("second ClientHello with a cookie -> illegal_parameter");
});

test("tls13 19: the CertificateRequest of RFC 8448 §6", () => {
  const request = decodeCertificateRequest(messages(traces[3]!, "certificate_request")[0]!);
  expect(request.context.length).toBe(0);
  expect(request.signatureSchemes).toContain(0x0804);
});

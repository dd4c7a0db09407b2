package abuse

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// broken is a message of RFC 4475 by its section and name: what is done to a good one.
// Where the RFC has binary or line-folded forms, so has this.
type broken struct {
	name, method string
	edit         func(m *message)
}

// message is a SIP message in parts that can be broken one by one.
type message struct {
	line    string
	headers []string
	body    string
	length  string // of the body, as it is said; "" says the truth
}

func (m *message) set(name string, values ...string) {
	m.drop(name)
	for _, value := range values {
		m.headers = append(m.headers, name+": "+value)
	}
}

func (m *message) drop(name string) {
	kept := m.headers[:0]
	for _, header := range m.headers {
		if !strings.HasPrefix(strings.ToLower(header), strings.ToLower(name)+":") {
			kept = append(kept, header)
		}
	}
	m.headers = kept
}

func (m *message) raw(headers ...string) { m.headers = append(m.headers, headers...) }

func (m *message) bytes() []byte {
	text := m.line + "\r\n" + strings.Join(m.headers, "\r\n") + "\r\n"
	switch m.length {
	case "":
		text += fmt.Sprintf("Content-Length: %d\r\n", len(m.body))
	case "none":
	default:
		text += "Content-Length: " + m.length + "\r\n"
	}
	return []byte(text + "\r\n" + m.body)
}

func torture(method, from, to string, n int) *message {
	user := ""
	if method == "INVITE" {
		user = "493055599999@" // a number that is nobody's
	}
	m := &message{line: fmt.Sprintf("%s sip:%s%s SIP/2.0", method, user, to), headers: []string{
		fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK-torture-%d", from, n), "Max-Forwards: 70",
		fmt.Sprintf("From: <sip:+4915100000001@%s>;tag=t%d", from, n), fmt.Sprintf("To: <sip:%s%s>", user, to),
		fmt.Sprintf("Call-ID: torture-%d@%s", n, from), "CSeq: 1 " + method, fmt.Sprintf("Contact: <sip:t@%s>", from)}}
	if method == "INVITE" {
		m.set("Content-Type", "application/sdp")
		m.body = sdp
	}
	return m
}

// rfc4475 is what the RFC has, in its order.
var rfc4475 = []broken{
	{"3.1.1.1 wsinv: folded and spaced tortuously", "INVITE", func(m *message) {
		m.drop("Max-Forwards")
		m.raw("Max-Forwards:\r\n 0068", "Subject:", "NewFangledHeader:   newfangled value\r\n continued newfangled value", "UnknownHeaderWithUnusualValue: ;;,,;;,;",
			"s:   ", "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239",
			"m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n newvalue ;\r\n  secondparam ; q = 0.33")
	}},
	{"3.1.1.2 intmeth: all the characters of a token", "INVITE", func(m *message) {
		m.line = strings.Replace(m.line, "INVITE", "!interesting-Method0123456789_*+`.%indeed'~", 1)
		m.set("CSeq", "139122385 !interesting-Method0123456789_*+`.%indeed'~")
		m.set("From", "=?UTF-8?Q?=E4=BD=A0?= <sip:mundane@example.com>;tag=_token~1'+`*%!-.")
		m.raw("extensionHeader-!.%*+_`'~:\xef\xbb\xbf\xe5\xa4\xa7\xe5\x81\x9c\xe9\x9b\xbb")
	}},
	{"3.1.1.3 esc01: escapes that must stay", "INVITE", func(m *message) {
		m.set("To", "<sip:%75se%72@example.com>")
		m.set("Contact", "<sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>")
	}},
	{"3.1.1.4 escnull: NUL by escape", "REGISTER", func(m *message) {
		m.set("To", "<sip:null-%00-null@example.com>")
		m.set("Contact", "<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>")
	}},
	{"3.1.1.5 esc02: a percent that escapes nothing", "INVITE", func(m *message) {
		m.line = strings.Replace(m.line, "INVITE", "RE%47IST%45R", 1)
		m.set("CSeq", "234 RE%47IST%45R")
		m.set("From", "<sip:resource@example.com>;tag=f232jadfj%4F")
	}},
	{"3.1.1.6 lwsdisp: no space before <", "OPTIONS", func(m *message) { m.set("From", "caller<sip:caller@example.com>;tag=323") }},
	{"3.1.1.7 longreq: long values", "INVITE", func(m *message) {
		m.set("To", "\"I have a user name of "+strings.Repeat("extreme", 10)+" proportion\"<sip:"+strings.Repeat("a", 400)+"@example.com:6000;"+strings.Repeat("unknownparam", 15)+"=very"+strings.Repeat("long", 20)+"value>")
		m.set("Call-ID", "longreq.one"+strings.Repeat("really", 20)+"longcallid")
		m.raw("Unknown-" + strings.Repeat("Long", 20) + "-Name: unknown-" + strings.Repeat("long", 20) + "-value")
		for i := range 20 {
			m.raw(fmt.Sprintf("Via: SIP/2.0/TCP sip%d.example.com", i))
		}
	}},
	{"3.1.1.8 dblreq: more after the body", "REGISTER", func(m *message) { m.body, m.length = "INVITE sip:joe@example.com SIP/2.0\r\nt: <sip:x@y>\r\n\r\n", "0" }},
	{"3.1.1.9 semiuri: semicolons in the user", "OPTIONS", func(m *message) {
		m.line = "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0"
		m.set("To", "sip:j_user@example.com")
		m.set("From", "sip:caller@example.org;tag=33242")
		m.raw("Accept: application/sdp, application/pkcs7-mime, multipart/mixed, multipart/signed, message/sip, message/sipfrag")
	}},
	{"3.1.1.10 transports: varied and unknown ones", "OPTIONS", func(m *message) {
		m.raw("Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bK1", "Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2", "Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bK3")
	}},
	{"3.1.1.11 mpart01: a multipart body with binary parts", "INVITE", func(m *message) {
		m.set("Content-Type", "multipart/mixed;boundary=7a9cbec02ceef655")
		m.body = "--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHello\r\n--7a9cbec02ceef655\r\nContent-Type: application/octet-stream\r\n\r\n" + string([]byte{0, 1, 2, 255, 254}) + "\r\n--7a9cbec02ceef655--\r\n"
	}},
	{"3.1.1.12 unreason: a reason phrase of other alphabets", "RESPONSE", func(m *message) { m.line = "SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe \xe5\x8d\x81" }},
	{"3.1.1.13 noreason: no reason phrase", "RESPONSE", func(m *message) { m.line = "SIP/2.0 100 " }},
	{"3.1.2.1 badinv01: separators that are none", "INVITE", func(m *message) {
		m.set("Contact", "\"Joe\" <sip:joe@example.org>;;;;")
		m.raw("Via: SIP/2.0/UDP 192.0.2.15;;,;,,")
	}},
	{"3.1.2.2 clerr: less body than is said", "INVITE", func(m *message) { m.length = "9999" }},
	{"3.1.2.3 ncl: a negative length", "INVITE", func(m *message) { m.length = "-999" }},
	{"3.1.2.4 scalar02: numbers too large, in a request", "REGISTER", func(m *message) {
		m.set("CSeq", "36893488147419103232 REGISTER")
		m.set("Max-Forwards", "300")
		m.raw("Expires: 10000000000000000000000000000000000000000000000000000000000000000000000000000000000000")
		m.set("Contact", "<sip:u@host129.example.com>;expires=280297596632815")
	}},
	{"3.1.2.5 scalarlg: numbers too large, in a response", "RESPONSE", func(m *message) {
		m.set("CSeq", "9292394834772304023312 OPTIONS")
		m.raw("Warning: 1812 overture \"In Progress\"", "Retry-After: 949302838503028349304023988")
	}},
	{"3.1.2.6 quotbal: a quote that does not end", "INVITE", func(m *message) { m.set("To", "\"Mr. J. User <sip:j.user@example.com>") }},
	{"3.1.2.7 ltgtruri: <> around the Request-URI", "INVITE", func(m *message) { m.line = "INVITE <sip:user@example.com> SIP/2.0" }},
	{"3.1.2.8 lwsruri: a space within the Request-URI", "INVITE", func(m *message) { m.line = "INVITE sip:user@example.com; lr SIP/2.0" }},
	{"3.1.2.9 lwsstart: spaces between the parts of the line", "INVITE", func(m *message) { m.line = "INVITE  sip:user@example.com  SIP/2.0" }},
	{"3.1.2.10 trws: spaces after the line", "OPTIONS", func(m *message) { m.line += "  " }},
	{"3.1.2.11 escruri: headers in the Request-URI", "INVITE", func(m *message) {
		m.line = "INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"
	}},
	{"3.1.2.12 baddate: a date of no zone", "INVITE", func(m *message) { m.raw("Date: Fri, 01 Jan 2010 16:00:00 EST") }},
	{"3.1.2.13 regbadct: a Contact with ? outside of <>", "REGISTER", func(m *message) { m.set("Contact", "sip:user@example.com?Route=%3Csip:sip.example.com%3E") }},
	{"3.1.2.14 badaspec: a To that is no name-addr", "OPTIONS", func(m *message) { m.set("To", "\"Watson, Thomas\" < sip:t.watson@example.org >") }},
	{"3.1.2.15 baddn: a display name that is none", "OPTIONS", func(m *message) { m.set("From", "Bell, Alexander <sip:a.g.bell@example.com>;tag=43") }},
	{"3.1.2.16 badvers: another version", "OPTIONS", func(m *message) {
		m.line = strings.Replace(m.line, "SIP/2.0", "SIP/7.0", 1)
		m.set("Via", "SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw")
	}},
	{"3.1.2.17 mismatch01: CSeq of another method", "OPTIONS", func(m *message) { m.set("CSeq", "8 INVITE") }},
	{"3.1.2.18 mismatch02: CSeq of a method that is none", "OPTIONS", func(m *message) {
		m.line = strings.Replace(m.line, "OPTIONS", "NEWMETHOD", 1)
		m.set("CSeq", "8 INVITE")
	}},
	{"3.1.2.19 bigcode: a status of ten digits", "RESPONSE", func(m *message) { m.line = "SIP/2.0 4294967301 better not break the receiver" }},
	{"3.2.1 badbranch: a branch that says nothing", "OPTIONS", func(m *message) { m.set("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK") }},
	{"3.3.1 insuf: the required headers are missing", "INVITE", func(m *message) {
		for _, name := range []string{"Call-ID", "From", "To"} {
			m.drop(name)
		}
	}},
	{"3.3.2 unkscm: an unknown scheme", "OPTIONS", func(m *message) { m.line = "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0" }},
	{"3.3.3 novelsc: a known scheme that is not SIP", "OPTIONS", func(m *message) { m.line = "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0" }},
	{"3.3.4 unksm2: unknown schemes in headers", "REGISTER", func(m *message) {
		m.set("To", "isbn:2983792873")
		m.set("From", "<http://www.example.com>;tag=3234233")
		m.set("Contact", "<name:John_Smith>")
	}},
	{"3.3.5 bext01: Require and Proxy-Require of nothing", "OPTIONS", func(m *message) {
		m.raw("Require: nothingSupportsThis, nothingSupportsThisEither", "Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis")
	}},
	{"3.3.6 invut: a body of an unknown type", "INVITE", func(m *message) {
		m.set("Content-Type", "application/unknownformat")
		m.body = "<audio><pcmu port=\"443\"/></audio>"
	}},
	{"3.3.7 regaut01: an unknown kind of credentials", "REGISTER", func(m *message) { m.raw("Authorization: NoOneKnowsThisScheme opaque-data=here") }},
	{"3.3.8 multi01: what is single, many times", "INVITE", func(m *message) {
		m.raw("CSeq: 59 INVITE", "Call-ID: another@example", "Max-Forwards: 5", "From: <sip:other@example.com>;tag=3413415", "To: <sip:other@example.net>", "Contact: <sip:caller@host36.example.net>")
	}},
	{"3.3.9 mcl01: two lengths", "OPTIONS", func(m *message) {
		m.body = "There's no way to know how many octets are supposed to be here.\r\n"
		m.length = "13\r\nContent-Length: 5"
	}},
	{"3.3.10 bcast: a response to a broadcast Via", "RESPONSE", func(m *message) { m.raw("Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23") }},
	{"3.3.11 zeromf: no more hops", "OPTIONS", func(m *message) { m.set("Max-Forwards", "0") }},
	{"3.3.12 cparam01: parameters of a Contact, unknown", "REGISTER", func(m *message) { m.set("Contact", "sip:+19725552222@gw1.example.net;unknownparam") }},
	{"3.3.13 cparam02: parameters of its URI, unknown", "REGISTER", func(m *message) { m.set("Contact", "<sip:+19725552222@gw1.example.net;unknownparam>") }},
	{"3.3.14 regescrt: a Contact with an escaped Route", "REGISTER", func(m *message) { m.set("Contact", "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>") }},
	{"3.3.15 sdp01: an Accept that fits nothing", "INVITE", func(m *message) { m.raw("Accept: text/nobodyKnowsThis") }},
	{"3.4.1 inv2543: as RFC 2543 had it", "INVITE", func(m *message) {
		m.set("Via", "SIP/2.0/UDP iftgw.example.com")
		m.set("From", "<sip:+13035551111@ift.client.example.net;user=phone>")
		m.drop("Contact")
		m.drop("Max-Forwards")
		m.raw("Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>")
	}},
	{"beyond the RFC: nothing but line ends", "RESPONSE", func(m *message) { m.line, m.headers, m.body, m.length = "\r\n\r\n", nil, "", "none" }},
	{"beyond the RFC: a header of 60,000 bytes", "OPTIONS", func(m *message) { m.raw("Subject: " + strings.Repeat("A", 60_000)) }},
	{"beyond the RFC: a thousand Vias", "OPTIONS", func(m *message) {
		for i := range 1000 {
			m.raw(fmt.Sprintf("Via: SIP/2.0/UDP v%d.example;branch=z9", i))
		}
	}},
	{"beyond the RFC: an SDP that is none", "INVITE", func(m *message) {
		m.body = "v=0\r\no=\r\nm=audio 999999 RTP/AVP " + strings.Repeat("0 ", 300) + "\r\nc=IN IP6 ::::\r\na=rtpmap:" + strings.Repeat("9", 500)
	}},
	{"beyond the RFC: dialplan in the number", "INVITE", func(m *message) {
		m.line = strings.Replace(m.line, "sip:493055599999@", "sip:${SHELL(id)}&PJSIP%2Ftrunk@", 1)
	}},
}

// The messages of RFC 4475 come from a stranger and, what gets further, from the carrier,
// while two talk: Asterisk lives, their audio too, and the next call is answered.
func TestTortureMessages(t *testing.T) {
	s := newScene(t)
	talks := s.talks(1)
	pid, began := shared.Lab.Asterisk.PID(), time.Now()
	sent, answered := 0, 0
	to, err := net.ResolveUDPAddr("udp4", shared.Lab.Asterisk.SIPAddr)
	s.must(err)
	for round := range amount(1, 20) {
		for _, host := range []string{strangersHost, "127.0.0.2"} { // the carrier's address
			conn, err := net.ListenPacket("udp4", host+":0")
			s.must(err)
			for i, broken := range rfc4475 {
				method := broken.method
				if method == "RESPONSE" {
					method = "OPTIONS"
				}
				m := torture(method, conn.LocalAddr().String(), to.String(), round*1000+i)
				if broken.method == "RESPONSE" {
					m.line = "SIP/2.0 200 OK"
				}
				broken.edit(m)
				if _, err := conn.WriteTo(m.bytes(), to); err != nil {
					s.Errorf("%s: %v", broken.name, err)
				}
				sent++
				time.Sleep(20 * time.Millisecond) // one by one: a flood is another test
				if i%10 == 9 {                    // and is Asterisk still there?
					s.alive(conn, to, fmt.Sprintf("%s after %s", host, broken.name))
					answered++
				}
			}
			s.must(conn.Close())
		}
	}
	share := worst(talks, began, time.Now())
	record(t, fmt.Sprintf("%d messages, those of RFC 4475 and some beyond, from a stranger and from the carrier's address, in a talk", sent),
		"the same Asterisk answers (asked %d times); each heard the other's tone in %.3f of the time", answered, share)
	if shared.Lab.Asterisk.PID() != pid || share < 0.9 {
		s.Errorf("Asterisk was %d, is %d; the talk was heard in %.3f of the time", pid, shared.Lab.Asterisk.PID(), share)
	}
	s.end(talks[0])
	a := s.newAdvisor("After Torture", "")
	s.verify(a)
	s.end(s.talk(s.newCaller("Blue Heron", 10_00), a))
	s.clean()
}

// alive asks with a good OPTIONS until it is answered.
func (s *scene) alive(conn net.PacketConn, to *net.UDPAddr, when string) {
	s.Helper()
	id := fmt.Sprintf("alive-%d", time.Now().UnixNano())
	m := torture("OPTIONS", conn.LocalAddr().String(), to.String(), int(time.Now().UnixNano()))
	m.set("Call-ID", id)
	buffer := make([]byte, 65536)
	for give := time.Now().Add(patience); time.Now().Before(give); {
		_, err := conn.WriteTo(m.bytes(), to)
		s.must(err)
		s.must(conn.SetReadDeadline(time.Now().Add(2 * time.Second)))
		for {
			n, _, err := conn.ReadFrom(buffer)
			if err != nil {
				break
			}
			if strings.Contains(string(buffer[:n]), id) {
				return
			}
		}
	}
	s.Fatalf("Asterisk does not answer: %s", when)
}

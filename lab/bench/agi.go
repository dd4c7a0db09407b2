package bench

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// agiServer names the environment variable by which this program knows that it is to be
// the FastAGI server: a process of its own, so that its CPU time can be told.
const agiServer = "PARLEY_BENCH_AGI"

// ServeAGI is the classic prepaid design's program: it looks up what the caller has, for
// each call anew, and tells the dialplan, which then dials. It returns at once, saying so,
// unless this process was started to be it.
func ServeAGI() (was bool, err error) {
	dsn := os.Getenv(agiServer)
	if dsn == "" {
		return false, nil
	}
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return true, err
	}
	db.SetMaxIdleConns(16)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return true, err
	}
	fmt.Println(l.Addr())
	for {
		conn, err := l.Accept()
		if err != nil {
			return true, err
		}
		go authorise(conn, db)
	}
}

// authorise answers one call. Asterisk writes its variables and an empty line first.
func authorise(conn net.Conn, db *sql.DB) {
	defer conn.Close()
	from := bufio.NewReader(conn)
	var caller string
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return
		}
		if value, found := strings.CutPrefix(line, "agi_callerid: "); found {
			caller = strings.TrimSpace(value)
		}
		if line == "\n" {
			break
		}
	}
	var pair, available int
	_, _ = fmt.Sscanf(caller, "491702%d", &pair)
	err := db.QueryRow(`SELECT posted - held FROM accounts WHERE id = 'client/' || $1`, string(clientID(pair))).Scan(&available)
	if err != nil {
		available = 0
	}
	fmt.Fprintf(conn, "SET VARIABLE MAY %d\n", available)
	_, _ = from.ReadString('\n') // 200 result=1
}

// addOtherDesigns puts the other ways to connect a call beside ours: numbers that begin
// with 7 or 8, in the context in which the carrier's calls begin.
func (b *Bench) addOtherDesigns(ctx context.Context) error {
	address, err := b.startAGI(ctx)
	if err != nil {
		return err
	}
	dial := "Dial,PJSIP/+${EXTEN:1}@" + outbound
	for _, command := range []string{
		"module load res_speech.so", "module load res_agi.so", "module load app_dial.so",
		"dialplan add extension _7X!,1," + dial + " into from-trunk",
		"dialplan add extension _8X!,1,AGI,agi://" + address + " into from-trunk",
		"dialplan add extension _8X!,2,GotoIf,$[${MAY}>0]?3:4 into from-trunk",
		"dialplan add extension _8X!,3," + dial + " into from-trunk",
		"dialplan add extension _8X!,4,Hangup into from-trunk",
	} {
		if out, err := b.stage.Lab.Asterisk.CLI(ctx, command); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return nil
}

// outbound is the endpoint by which a number is rung, as the program chooses it.
const outbound = "trunk-${EXTEN:-1}"

func (b *Bench) startAGI(ctx context.Context) (address string, err error) {
	own, err := os.Executable()
	if err != nil {
		return "", err
	}
	b.agi = exec.CommandContext(ctx, own)
	b.agi.Env = append(os.Environ(), agiServer+"="+b.stage.OwnerDSN)
	b.agi.Stderr = os.Stderr
	b.agi.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := b.agi.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := b.agi.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

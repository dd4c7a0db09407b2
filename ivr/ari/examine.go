package ari

import (
	"context"
	"fmt"
	"time"
)

// Examination is what Asterisk says of itself to whoever looks for what is wrong.
type Examination struct {
	Version      string
	Recent       bool          // at least 22.10.1, see [Switch]
	Missing      []string      // modules that the program needs and that do not run
	MissingAudio []string      // codecs without which some phone hears nothing
	Connected    bool          // some program is connected as the application
	Trunk        string        // online, offline or unknown, where it is not asked by OPTIONS
	NoEndpoint   []string      // of the carrier's endpoints, those that Asterisk does not have
	Ahead        time.Duration // of our clock, give or take half of Took
	Took         time.Duration // for its answer
}

// needed are the modules without which no paid call can be; asterisk-config loads more.
var needed = []string{
	"res_stasis.so", "res_stasis_playback.so", "res_stasis_snoop.so", "res_ari.so", "res_ari_applications.so", "res_ari_asterisk.so",
	"res_ari_bridges.so", "res_ari_channels.so", "res_ari_events.so", "res_ari_playbacks.so", "res_http_websocket.so", "app_stasis.so",
	"bridge_simple.so", "bridge_native_rtp.so", "bridge_softmix.so", "res_rtp_asterisk.so", "res_musiconhold.so",
	"func_timeout.so", "func_channel.so", "format_wav.so", "chan_pjsip.so", "res_pjsip.so", "res_pjsip_session.so", "res_pjsip_sdp_rtp.so",
	"res_pjsip_header_funcs.so", "res_pjsip_endpoint_identifier_ip.so", "res_pjsip_registrar.so", "res_sorcery_memory.so",
}

var neededAudio = []string{"codec_alaw.so", "codec_ulaw.so", "codec_g722.so", "codec_opus_open_source.so", "codec_resample.so", "res_srtp.so"}

// Examine asks Asterisk about itself. It takes nothing from the program that is connected.
func Examine(ctx context.Context, cfg Config) (e Examination, err error) {
	c := newClient(cfg.URL, cfg.User, cfg.Password)
	defer c.conns.close()
	var ping struct{ Timestamp string }
	asked := time.Now()
	if err := c.do(ctx, command{method: "GET", path: path("asterisk", "ping")}, &ping); err != nil {
		return e, err
	}
	e.Took = time.Since(asked)
	if at, err := time.Parse("2006-01-02T15:04:05.000-0700", ping.Timestamp); err == nil {
		e.Ahead = at.Sub(asked.Add(e.Took / 2))
	}
	var info struct{ System struct{ Version string } }
	if err := c.do(ctx, command{method: "GET", path: path("asterisk", "info")}, &info); err != nil {
		return e, err
	}
	e.Version, e.Recent = info.System.Version, recent(info.System.Version)
	var modules []struct{ Name, Status string }
	if err := c.do(ctx, command{method: "GET", path: path("asterisk", "modules")}, &modules); err != nil {
		return e, err
	}
	runs := map[string]bool{}
	for _, m := range modules {
		runs[m.Name] = m.Status == "Running"
	}
	e.Missing, e.MissingAudio = without(needed, runs), without(neededAudio, runs)
	err = c.do(ctx, command{method: "GET", path: path("applications", cfg.App)}, nil)
	e.Connected = err == nil
	if err != nil && !refused(err, 404) {
		return e, err
	}
	for _, name := range cfg.carrier() {
		var endpoint struct{ State string }
		err := c.do(ctx, command{method: "GET", path: path("endpoints", "PJSIP", name)}, &endpoint)
		switch {
		case refused(err, 404):
			e.NoEndpoint = append(e.NoEndpoint, name)
		case err != nil:
			return e, fmt.Errorf("ask for the trunk: %w", err)
		case name == cfg.Trunk:
			e.Trunk = endpoint.State
		}
	}
	return e, nil
}

func without(names []string, runs map[string]bool) (missing []string) {
	for _, name := range names {
		if !runs[name] {
			missing = append(missing, name)
		}
	}
	return missing
}

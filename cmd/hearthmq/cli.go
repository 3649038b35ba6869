package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"hearthmq/addon"
)

// process is what a command has of the operating system.
type process struct {
	args           []string // without the program's name
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	hangup         <-chan os.Signal        // SIGHUP; nil: never
	root           bool                    // it may do everything
	becomeUser     func(name string) error // nil: not this process
}

// Exit codes.
const (
	exitOK      = 0
	exitError   = 1
	exitConf    = 3  // a mosquitto.conf is wrong, as Mosquitto says it
	exitSetting = 78 // a setting is wrong; sysexits.h calls it EX_CONFIG
)

// commandLine is the grammar of the command line.
type commandLine struct {
	Data    string `placeholder:"DIR" help:"Folder with the database (${data})."`
	Options string `placeholder:"FILE" help:"Settings as JSON (DIR/options.json, where it exists)."`

	Serve serveCommand `cmd:"" default:"withargs" help:"Run the broker and its admin."`
	User  struct {
		Add      userAdd      `cmd:"" help:"Add a user."`
		List     userList     `cmd:"" help:"List the users."`
		Passwd   userPasswd   `cmd:"" help:"Give a user a new password."`
		Rules    userRules    `cmd:"" help:"Print what a user may do, or change its own rules."`
		Roles    userRoles    `cmd:"" help:"Print the roles of a user, or change them."`
		Limits   userLimits   `cmd:"" help:"Say how much a user may take."`
		Networks userNetworks `cmd:"" help:"Say from which networks a user may connect."`
		Enable   userEnable   `cmd:"" help:"Let a user in again."`
		Disable  userDisable  `cmd:"" help:"Keep a user out."`
		Delete   userDelete   `cmd:"" help:"Delete a user."`
	} `cmd:"" help:"Look after users, also while the broker runs."`
	Role struct {
		Add    roleAdd    `cmd:"" help:"Add a role."`
		List   roleList   `cmd:"" help:"List the roles."`
		Rules  roleRules  `cmd:"" help:"Print the rules of a role, or change them."`
		Delete roleDelete `cmd:"" help:"Delete a role; users lose it."`
	} `cmd:"" help:"Look after roles, lists of rules that several users have."`
	Why    whyCommand    `cmd:"" help:"Say why a device gets nothing."`
	Denied deniedCommand `cmd:"" help:"List what was denied lately, and the command that would allow it."`
	Audit  auditCommand  `cmd:"" help:"List who changed what and when, the latest first."`
	Learn  struct {
		Start  learnStart  `cmd:"" help:"Watch what a user does, for a time."`
		Show   learnShow   `cmd:"" help:"Print the rules that are proposed."`
		Accept learnAccept `cmd:"" help:"Give the user these rules."`
		Drop   learnDrop   `cmd:"" help:"Forget what was seen."`
	} `cmd:"" help:"Find out which rules a device needs by watching it."`
	Template struct {
		List  templateList  `cmd:"" help:"List the products that user add --template knows."`
		Apply templateApply `cmd:"" help:"Give a user that is there the rights of a product."`
	} `cmd:"" help:"Rights and instructions for products."`
	ACL struct {
		Check aclCheck `cmd:"" help:"Say whether a user may do something, and which rule decides."`
	} `cmd:"" name:"acl" help:"Ask the access rules."`
	Token struct {
		Create tokenCreate `cmd:"" help:"Make a token and print it, once."`
		List   tokenList   `cmd:"" help:"List the tokens."`
		Revoke tokenRevoke `cmd:"" help:"Make a token worthless."`
	} `cmd:"" help:"Look after tokens of the API and of /metrics, also while the broker runs."`
	Backup  backupCommand  `cmd:"" help:"Copy the database into a file, also while the broker runs."`
	Restore restoreCommand `cmd:"" help:"Go back to such a copy, while the broker does not run."`
	Import  struct {
		Mosquitto importMosquitto `cmd:"" help:"Take over users, rights, retained messages and sessions of Mosquitto."`
	} `cmd:"" help:"Come from another broker."`
	Healthcheck healthcheckCommand `cmd:"" help:"Exit with 0 when MQTT and the admin answer."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

const about = `HearthMQ, an MQTT broker for the home.

Settings come from options.json, then from the environment (HEARTHMQ_LOG_LEVEL=debug); without any
it listens on port 1883 and lets nobody in until you have made a user.

Exit codes: 0 all well, 78 a setting is wrong, 3 a mosquitto.conf is wrong, 1 anything else.`

// run runs one command line and returns its exit code. It ends with ctx.
func run(ctx context.Context, p process) int {
	app := &application{process: p}
	app.stdout, app.stderr = plainly{p.stdout}, plainly{p.stderr}
	var cl commandLine
	exited, code := false, exitOK
	parser, err := kong.New(&cl,
		kong.Name("hearthmq"), kong.Description(about), kong.Writers(p.stdout, p.stderr),
		kong.Vars{"data": app.defaultData()},
		kong.Exit(func(c int) { exited, code = true, c }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(app),
	)
	if err != nil {
		return app.fail(err)
	}
	command, err := parser.Parse(p.args)
	if exited { // --help
		return code
	}
	if err != nil {
		app.fail(err)
		fmt.Fprintln(app.stderr, "hearthmq --help lists the commands.")
		return exitError
	}
	app.data, app.options = cl.Data, cl.Options
	return app.fail(command.Run())
}

// errDenied makes a command exit with 1 without a further word.
var errDenied = errors.New("denied")

// fail prints err, one line for each thing that is wrong, and returns the exit code.
func (a *application) fail(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDenied):
		return exitError
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(a.stderr, "hearthmq: "+line)
	}
	if _, ok := errors.AsType[confProblems](err); ok {
		return exitConf
	}
	if _, ok := errors.AsType[addon.Problems](err); ok {
		return exitSetting
	}
	return exitError
}

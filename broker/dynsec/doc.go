// Package dynsec is Mosquitto's dynamic security for who runs HearthMQ in its place: users
// (clients), groups and roles in a dynamic-security.json, which stays the file that both
// brokers read, and the commands that change them, as messages to
// $CONTROL/dynamic-security/v1. It decides as the plugin does: priorities, defaults, users
// bound to a client identifier and all.
//
// HearthMQ's own users and roles are in broker/access; broker/control maps the commands to
// those. This package must not import database/sql or net/http.
//
// One lock guards what commands change. What logins and messages are judged by is made
// anew after each request that changed something, and is immutable.
package dynsec

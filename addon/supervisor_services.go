package addon

import (
	"context"
	"errors"
	"net/http"
)

// Service is the record by which apps learn where MQTT is.
type Service struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	SSL      bool   `json:"ssl"`
	// Protocol is "3.1" or "3.1.1": the Supervisor takes nothing else, and Home
	// Assistant does not look at it.
	Protocol string `json:"protocol,omitempty"`
	// Addon is the full slug of the app whose record it is. Never sent.
	Addon string `json:"addon,omitempty"`
}

// ErrNoService says that no app provides MQTT.
var ErrNoService = errors.New("no app provides MQTT")

// TakenError says that another app's record stands where ours should be.
type TakenError struct{ App string } // its full slug, "" when not known

func (e *TakenError) Error() string {
	if e.App == "" {
		return "another app provides MQTT"
	}
	return "another app provides MQTT: " + e.App
}

// MQTTService returns the record, whoever's it is, or ErrNoService.
func (s *Supervisor) MQTTService(ctx context.Context) (Service, error) {
	var v Service
	err := s.call(ctx, http.MethodGet, "/services/mqtt", nil, &v)
	if e, ok := errors.AsType[*APIError](err); ok && e.Status == http.StatusBadRequest && e.Message == "Service not enabled" {
		return Service{}, ErrNoService
	}
	return v, err
}

// Providers returns the full slugs of the installed apps that can provide MQTT.
func (s *Supervisor) Providers(ctx context.Context) ([]string, error) {
	var data struct {
		Services []struct {
			Slug      string   `json:"slug"`
			Providers []string `json:"providers"`
		} `json:"services"`
	}
	if err := s.call(ctx, http.MethodGet, "/services", nil, &data); err != nil {
		return nil, err
	}
	for _, v := range data.Services {
		if v.Slug == "mqtt" {
			return v.Providers, nil
		}
	}
	return nil, nil
}

// PublishService makes the record. Where one stands, even our own, it fails with a
// *TakenError.
func (s *Supervisor) PublishService(ctx context.Context, v Service) error {
	v.Addon = "" // the Supervisor refuses keys that it does not expect
	err := s.call(ctx, http.MethodPost, "/services/mqtt", v, nil)
	if e, ok := errors.AsType[*APIError](err); ok && e.Status == http.StatusConflict {
		return &TakenError{App: e.Fields["app"]}
	}
	return err
}

// DeleteService deletes the record, whoever's it is: the Supervisor does not look.
// That none stands is no error.
func (s *Supervisor) DeleteService(ctx context.Context) error {
	err := s.call(ctx, http.MethodDelete, "/services/mqtt", nil, nil)
	if hasStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

// PublishDiscovery tells Home Assistant about a broker and returns the message's
// identifier. The same once more changes nothing; another config replaces the one before.
func (s *Supervisor) PublishDiscovery(ctx context.Context, v Service) (uuid string, err error) {
	v.Addon = ""
	body := struct {
		Service string  `json:"service"`
		Config  Service `json:"config"`
	}{"mqtt", v}
	var data struct {
		UUID string `json:"uuid"`
	}
	err = s.call(ctx, http.MethodPost, "/discovery", body, &data)
	return data.UUID, err
}

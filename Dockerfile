ARG BUILD_FROM=ghcr.io/home-assistant/base:3.23

FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -tags nethttpomithttp2 -trimpath -ldflags '-s -w' -o /out/hearthmq ./cmd/hearthmq

FROM ${BUILD_FROM}
COPY --from=build /out/hearthmq /usr/bin/hearthmq
COPY rootfs /
ARG BUILD_VERSION=0.1.0
ARG BUILD_ARCH
LABEL io.hass.type="app" \
      io.hass.version="${BUILD_VERSION}" \
      io.hass.arch="${BUILD_ARCH}" \
      org.opencontainers.image.title="HearthMQ" \
      org.opencontainers.image.description="MQTT broker for the home" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${BUILD_VERSION}"
EXPOSE 1883 1884 8883 8884
# Home Assistant's start waits for the first check that is passed, hence the short
# start interval.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["/usr/bin/hearthmq", "healthcheck", "--data", "/data"]

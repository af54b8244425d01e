// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice What a lease contract of your own imports, in one place: docs/integrate.md. Nothing is declared here.
/// `import {IReportHub, IReportConsumer, Leaf, ReportClaims} from "plumbline-contracts/src/Plumbline.sol";`
/// For tests add `plumbline-contracts/src/mocks/MockReportHub.sol`.

import {Header, Leaf} from "./Types.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {IDeviceRegistry, IERC4907} from "./interfaces/IDeviceRegistry.sol";
import {Acceptance, ILeaseEscrow, Offer} from "./interfaces/ILeaseEscrow.sol";
import {IReportConsumer} from "./interfaces/IReportConsumer.sol";
import {IReportHub} from "./interfaces/IReportHub.sol";
import {ReportClaims} from "./libraries/ReportClaims.sol";
